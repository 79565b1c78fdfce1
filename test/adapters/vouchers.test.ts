import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openKeyRoots } from '../../adapters/keys/keyRoots.ts';
import { signGrant } from '../../adapters/keys/signGrant.ts';
import { signVoucher, vouchedKeys } from '../../adapters/keys/vouchers.ts';
import type { GrantKey } from '../../domain/grants/grantKey.ts';
import { makeKey } from '../support/keys.ts';

type Signer = { kid: string; key: Awaited<ReturnType<typeof makeKey>>['privateKey'] };
type Made = GrantKey & { by: Signer };

/** A key that signs from 30 s after its creation, and that `by` vouches for. */
async function make(createdAtS: number, by?: Made, change: Partial<GrantKey> = {}): Promise<Made> {
  const { kid, jwk, privateKey } = await makeKey();
  const key = { kid, x: jwk.x!, createdAtS, signsFromS: createdAtS + 30, retiredAtS: null, voucher: null };
  const voucher = by ? await signVoucher(key, by.by) : null;
  return { ...key, voucher, ...change, by: { kid, key: privateKey } };
}

async function counting(keys: readonly Made[], roots: readonly Made[], closed: readonly Made[] = []) {
  const kids = (some: readonly Made[]) => new Set(some.map(({ kid }) => kid));
  const found = await vouchedKeys(keys, { roots: kids(roots), closed: kids(closed) });
  return found.map(({ kid }) => keys.findIndex((key) => key.kid === kid));
}

describe('a key counts', () => {
  it('where a root stands behind it, over any number of others', async () => {
    const a = await make(0, undefined, { retiredAtS: 130 });
    const b = await make(100, a, { retiredAtS: 230 });
    const c = await make(200, b);
    assert.deepEqual(await counting([c, b, a], [a]), [0, 1, 2]);
    assert.deepEqual(await counting([c, b, a], [b]), [0, 1]);
    assert.deepEqual(await counting([c, a], [a]), [1], 'the chain is broken');
    assert.deepEqual(await counting([c, b, a], []), []);
  });

  it('never for being there, whatever it says of itself', async () => {
    const a = await make(0);
    const other = await make(100);
    const bare = { ...(await make(100)), voucher: null };
    const itself = await make(100);
    const byItself = { ...itself, voucher: await signVoucher(itself, itself.by) };
    const inItsName = { ...itself, voucher: await signVoucher(itself, { ...itself.by, kid: a.kid }) };
    const asGrant = { sub: bare.kid, x: bare.x, iat: 100, nbf: 130 };
    const ofAnotherType = { ...bare, voucher: await signGrant(asGrant, a.by) };
    const ofAnother = { ...bare, voucher: await signVoucher(other, a.by) };
    for (const forged of [
      bare,
      byItself,
      inItsName,
      ofAnotherType,
      ofAnother,
      { ...bare, voucher: '' },
      { ...bare, voucher: 'x.y.z' },
      { ...bare, kid: a.kid },
      { ...bare, x: '!' },
    ])
      assert.deepEqual(await counting([a, forged], [a]), [0], JSON.stringify(forged));
  });

  it('with the very times that were signed', async () => {
    const a = await make(0);
    const b = await make(100, a);
    assert.deepEqual(await counting([a, b], [a]), [0, 1]);
    for (const change of [{ createdAtS: 99 }, { signsFromS: 129 }])
      assert.deepEqual(await counting([a, { ...b, ...change }], [a]), [0]);
  });

  it('not under the name of a root', async () => {
    const [a, thief] = [await make(0), await make(0)];
    assert.deepEqual(await counting([{ ...thief, kid: a.kid }], [a]), []);
  });

  it('only where the one before it was in use when it vouched', async () => {
    const a = await make(0, undefined, { retiredAtS: 130 });
    assert.deepEqual(await counting([a, await make(129, a)], [a]), [0, 1]);
    assert.deepEqual(await counting([a, await make(130, a)], [a]), [0], 'it had retired');
    assert.deepEqual(await counting([a, await make(20, a)], [a]), [0], 'it had not begun');
  });

  it('as the only one that another vouched for: of two neither does', async () => {
    const a = await make(0);
    const [b, early] = [await make(100, a), await make(50, a)];
    const c = await make(200, b);
    assert.deepEqual(await counting([a, b, early, c], [a]), [0]);
    assert.deepEqual(await counting([a, b, early, c], [a, b]), [0, 1, 3], 'but a root is a root');
  });

  it('not by one that was closed', async () => {
    const a = await make(0);
    const b = await make(100, a);
    assert.deepEqual(await counting([a, b], [a], [a]), [0]);
  });

  it('no longer than until the one that it vouched for signs, whatever the database says', async () => {
    const a = await make(0);
    const b = await make(100, a);
    const [first] = await vouchedKeys([a, b], { roots: new Set([a.kid]), closed: new Set() });
    assert.equal(first!.retiredAtS, 130);
    const sooner = { ...a, retiredAtS: 120 };
    const [still] = await vouchedKeys([sooner, b], { roots: new Set([a.kid]), closed: new Set() });
    assert.equal(still!.retiredAtS, 120);
  });

  it('nor longer because it has vouched again since, or because no row says that it retired', async () => {
    const a = await make(0);
    const [b, forged] = [await make(100, a), await make(500, a)];
    const anchors = { roots: new Set([a.kid]), closed: new Set<string>() };
    const [stolen, ...more] = await vouchedKeys([a, b, forged], anchors);
    assert.equal(stolen!.retiredAtS, 130, 'whoever has stolen it signs nothing with it now');
    assert.deepEqual(more, []);
  });

  it('nor longer than until a root takes its place', async () => {
    const a = await make(0);
    const b = await make(100, a);
    const root = await make(200);
    const anchors = { roots: new Set([a.kid, root.kid]), closed: new Set<string>() };
    const times = async (keys: Made[]) =>
      (await vouchedKeys(keys, anchors)).map(({ retiredAtS }) => retiredAtS);
    assert.deepEqual(await times([a, b, root]), [130, 230, null]);
    assert.deepEqual(await times([a, root]), [230, null]);
    assert.deepEqual(await counting([a, root, await make(300, a)], [a, root]), [0, 1], 'nor does it vouch');
  });
});

describe('the file of the roots', () => {
  const [one, two] = ['a'.repeat(43), 'b'.repeat(43)];

  it('is appended to by anybody at once, and says what it says in lines', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-roots-'));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, 'roots');
    const roots = openKeyRoots(file);
    assert.equal(await roots.find(), undefined);
    await assert.rejects(roots.read(), { code: 'KeysUnavailable' });
    await roots.add({});
    assert.equal(await roots.find(), undefined, 'nothing to say, nothing written');
    await Promise.all([
      roots.add({ roots: [one!] }),
      openKeyRoots(file).add({ roots: [two!], closed: [one!] }),
    ]);
    assert.deepEqual(await roots.read(), { roots: new Set([one, two]), closed: new Set([one]) });
    assert.match(await readFile(file, 'utf8'), /^root a{43}$/m);
  });

  it('is of no use where it cannot be read as meant', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-roots-'));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, 'roots');
    for (const text of [
      '',
      '# none yet\n',
      `closed ${one}\n`,
      `root ${one!.slice(1)}\n`,
      `pinned ${one}\n`,
    ]) {
      await writeFile(file, text);
      await assert.rejects(openKeyRoots(file).read(), { code: 'KeysUnavailable' }, text);
    }
    await writeFile(file, `# kept by hand\r\n\r\n  root ${one}  \r\n`);
    assert.deepEqual((await openKeyRoots(file).read()).roots, new Set([one]));
  });
});
