import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { errors } from '../../domain/errors.ts';
import { GrantClaims } from '../../domain/grants/grant.ts';
import { grantChecks } from '../../domain/grants/grantChecks.ts';

const page = readFileSync(new URL('../../docs/identity.md', import.meta.url), 'utf8');
const rows = [...page.matchAll(/^\| (.+?) +\| `(\w+)` +\| (invalid|revoked|unavailable) +\|$/gm)].map(
  ([, asked, code, follows]) => ({ asked: asked!, code: code!, follows: follows! }),
);

describe('docs/identity.md', () => {
  it('lists the checks of a grant in their order, with what follows from each', () => {
    const names = new Set(grantChecks.map(({ name }) => name));
    assert.deepEqual(
      rows.filter(({ asked }) => names.has(asked)),
      grantChecks.map(({ name, code, outcome }) => ({ asked: name, code, follows: outcome })),
    );
  });

  it('calls unavailable exactly what may succeed later', () => {
    for (const { code, follows } of rows)
      assert.equal(errors[code as keyof typeof errors].retryable, follows === 'unavailable', code);
  });

  it('explains every claim that a grant has', () => {
    const { tctx, ...claims } = GrantClaims.shape;
    for (const claim of [...Object.keys(claims), ...Object.keys(tctx.shape)])
      assert.match(page, new RegExp(`\`(tctx\\.)?${claim}\``), claim);
  });
});
