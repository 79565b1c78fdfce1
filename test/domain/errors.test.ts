import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { errors } from '../../domain/errors.ts';

describe('docs/errors.md', async () => {
  const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'errors.md'), 'utf8');
  const documented = [...page.matchAll(/^\| `(\w+)` +\| (\d{3}) +\| (yes|no) +\| (.+?) +\|$/gm)].map(
    ([, code, status, retryable, message]) => [
      code,
      { status: Number(status), retryable: retryable === 'yes', message },
    ],
  );

  it('lists each code once, as it is, and no other', () => {
    assert.equal(new Set(documented.map(([code]) => code)).size, documented.length);
    assert.deepEqual(Object.fromEntries(documented), errors);
  });
});
