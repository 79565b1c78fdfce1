import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import { principalId } from '../../domain/principal.ts';

it('the id of a principal is the digest of issuer and subject', () => {
  for (const [issuer, subject] of [
    ['https://issuer.example', 'alice'],
    ['https://issuer.example/a', 'b'],
    ['urn:x', 'ü–名🙂\ud800'],
    ['', ''],
    ...Array.from({ length: 200 }, (_, i) => ['https://issuer.example', `p-${i}`] as const),
  ] as const) {
    const digest = createHash('sha256').update(`${issuer}\0${subject}`).digest('base64url');
    assert.equal(principalId(issuer, subject), `prn_${digest.slice(0, 22)}`);
  }
});
