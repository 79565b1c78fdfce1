import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SignJWT } from 'jose';
import { endorsedKeys, endorseKey } from '../../../adapters/keys/keyEndorsements.ts';
import { openKeyRoots } from '../../../adapters/keys/keyRoots.ts';
import { signGrant } from '../../../adapters/keys/signGrant.ts';
import type { GrantKey } from '../../../domain/grants/grantKey.ts';
import { makeKey } from '../../support/keys.ts';

async function makeRoot() {
  const { kid, jwk, privateKey } = await makeKey();
  return { kid, x: jwk.x!, key: privateKey };
}
type Root = Awaited<ReturnType<typeof makeRoot>>;

/** A key that signs from 30 s after its creation, endorsed by `root`. `by` signs with the key itself. */
async function make(createdAtS: number, root?: Root, change: Partial<GrantKey> = {}) {
  const { kid, jwk, privateKey } = await makeKey();
  const key = { kid, x: jwk.x!, createdAtS, signsFromS: createdAtS + 30, retiredAtS: null };
  const endorsement = root ? await endorseKey(key, root) : null;
  return { ...key, endorsement, ...change, by: { kid, x: jwk.x!, key: privateKey } };
}
type Made = Awaited<ReturnType<typeof make>>;

const kids = (some: readonly { kid: string }[]) => new Set(some.map(({ kid }) => kid));

async function counting(keys: readonly Made[], roots: readonly Root[], listed: readonly Made[] = []) {
  const found = await endorsedKeys(keys, { roots: kids(roots), keys: kids(listed) });
  return found.map(({ kid }) => keys.findIndex((key) => key.kid === kid));
}

describe('a key counts', () => {
  it('where a root has endorsed it, or the roots file lists it', async () => {
    const [one, two] = [await makeRoot(), await makeRoot()];
    const [a, b, c] = [await make(0, one), await make(100, two), await make(200)];
    assert.deepEqual(await counting([c, b, a], [one, two]), [1, 2]);
    assert.deepEqual(await counting([c, b, a], [two]), [1]);
    assert.deepEqual(await counting([c, b, a], [one], [c]), [0, 2]);
    assert.deepEqual(await counting([c, b, a], []), []);
  });

  it('never for being in the table, whatever its row says', async () => {
    const root = await makeRoot();
    const a = await make(0, root);
    const other = await make(100);
    const bare = await make(100);
    const itself = await make(100);
    const endorsement = (by: Root) => endorseKey(bare, by);
    const claims = { sub: bare.kid, x: bare.x, iat: 100, nbf: 130 };
    const header = { alg: 'EdDSA', typ: 'grant-key+jwt' };
    const signed = (more: object, by: Root) =>
      new SignJWT(claims).setProtectedHeader({ ...header, ...more }).sign(by.key);
    const jwkOf = ({ x }: Root) => ({ kty: 'OKP', crv: 'Ed25519', x });
    for (const forged of [
      bare,
      { ...itself, endorsement: await endorseKey(itself, itself.by) },
      { ...bare, endorsement: await endorsement(a.by) },
      { ...bare, endorsement: await endorsement(await makeRoot()) },
      { ...bare, endorsement: await endorseKey(other, root) },
      { ...bare, endorsement: await signGrant(claims, root) },
      { ...bare, endorsement: await signed({}, root) },
      { ...bare, endorsement: await signed({ kid: root.kid }, root) },
      { ...bare, endorsement: await signed({ jwk: jwkOf(root) }, a.by) },
      { ...bare, endorsement: await signed({ typ: 'grant+jwt', jwk: jwkOf(root) }, root) },
      { ...bare, endorsement: a.endorsement },
      { ...bare, endorsement: '' },
      { ...bare, endorsement: 'x.y.z' },
      { ...bare, kid: a.kid },
      { ...bare, kid: root.kid },
      { ...bare, x: '!' },
    ])
      assert.deepEqual(await counting([a, forged], [root]), [0], JSON.stringify(forged));
    assert.deepEqual(await counting([a, { ...bare, endorsement: await endorsement(root) }], [root]), [0, 1]);
  });

  it('only with the times that were signed', async () => {
    const root = await makeRoot();
    const [a, b] = [await make(0, root), await make(100, root)];
    for (const change of [{ createdAtS: 99 }, { signsFromS: 129 }])
      assert.deepEqual(await counting([a, { ...b, ...change }], [root]), [0]);
  });

  it('not under the name of one that is listed', async () => {
    const [a, thief] = [await make(0), await make(0)];
    assert.deepEqual(await counting([{ ...thief, kid: a.kid }], [], [a]), []);
  });

  it('not because a signing key has endorsed it, also where that one is listed', async () => {
    const root = await makeRoot();
    const a = await make(0, root);
    const b = { ...(await make(100)), endorsement: null as string | null };
    b.endorsement = await endorseKey(b, a.by);
    assert.deepEqual(await counting([a, b], [root]), [0]);
    assert.deepEqual(await counting([a, b], [root], [a]), [0]);
  });

  it('no longer than until the next one signs, whatever the database says', async () => {
    const root = await makeRoot();
    const anchors = { roots: kids([root]), keys: new Set<string>() };
    const times = async (keys: Made[]) => (await endorsedKeys(keys, anchors)).map((key) => key.retiredAtS);
    const [a, b, c] = [await make(0, root), await make(100, root), await make(200, root)];
    assert.deepEqual(await times([a, b, c]), [130, 230, null]);
    assert.deepEqual(await times([{ ...a, retiredAtS: 120 as never }, b]), [120, null], 'sooner is possible');
    assert.deepEqual(await times([{ ...a, retiredAtS: 900 as never }, b]), [130, null], 'later is not');
    const stranger = await make(50);
    assert.deepEqual(await times([a, stranger]), [null], 'a key that does not count retires none');
  });
});

describe('the file of the roots', () => {
  const [one, two] = ['a'.repeat(43), 'b'.repeat(43)];

  it('takes appends of several APIs at once', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-roots-'));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, 'roots');
    const roots = openKeyRoots(file);
    assert.equal(await roots.find(), undefined);
    await assert.rejects(roots.read(), { code: 'KeysUnavailable' });
    await roots.add({});
    assert.equal(await roots.find(), undefined, 'nothing to add, nothing written');
    await Promise.all([
      roots.add({ roots: [one!] }),
      openKeyRoots(file).add({ roots: [two!], keys: [one!] }),
    ]);
    assert.deepEqual(await roots.read(), { roots: new Set([one, two]), keys: new Set([one]) });
    assert.match(await readFile(file, 'utf8'), /^root a{43}$/m);
  });

  it('is rejected where a line is no entry, or no root is named', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-roots-'));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, 'roots');
    for (const text of [
      '',
      '# none yet\n',
      `key ${one}\n`,
      `root ${one!.slice(1)}\n`,
      `closed ${one}\n`,
      `pinned ${one}\n`,
    ]) {
      await writeFile(file, text);
      await assert.rejects(openKeyRoots(file).read(), { code: 'KeysUnavailable' }, text);
    }
    await writeFile(file, `# kept by hand\r\n\r\n  root ${one}  \r\n`);
    assert.deepEqual((await openKeyRoots(file).read()).roots, new Set([one]));
  });
});
