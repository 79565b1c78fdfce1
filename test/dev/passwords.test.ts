import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { databaseRoles, ensurePasswords, hasPasswords } from '../../dev/stack/passwords.ts';

describe('the passwords of a home', () => {
  const keys = mkdtempSync(join(tmpdir(), 'waybill-passwords-'));
  after(() => rmSync(keys, { recursive: true, force: true }));

  it('are one for each role, which its owner alone may read, and stay', () => {
    const folder = join(keys, 'new');
    assert.equal(hasPasswords(folder), false);
    const made = ensurePasswords(folder);
    for (const role of databaseRoles) assert.equal(statSync(made.fileOf(role)).mode & 0o777, 0o600);
    assert.equal(new Set(databaseRoles.map(made.of)).size, databaseRoles.length);
    assert.deepEqual(databaseRoles.map(ensurePasswords(folder).of), databaseRoles.map(made.of));
    assert.equal(hasPasswords(folder), true);
  });

  it('of an older home are those that its database knows', () => {
    const folder = join(keys, 'database');
    writeFileSync(
      `${folder}.json`,
      JSON.stringify({ postgres: 'p', waybill_migrator: 'm', waybill_api: 'a' }),
    );
    assert.equal(hasPasswords(folder), true);
    const { of } = ensurePasswords(folder);
    assert.deepEqual([of('postgres'), of('waybill_migrator'), of('waybill_api')], ['p', 'm', 'a']);
    assert.ok(of('waybill_relay'));
    assert.equal(existsSync(`${folder}.json`), false);
  });
});
