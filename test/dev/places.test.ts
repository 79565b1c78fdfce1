import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { openKeyFolder } from '../../adapters/keys/keyFolder.ts';
import { readDevJson } from '../../cli/embedded/devJson.ts';
import { openHome, removeDevJson, writeDevJson } from '../../dev/stack/home.ts';
import { ensureGrantKeys, ensureInstance } from '../../dev/stack/identityOfHome.ts';
import { choosePorts } from '../../dev/stack/ports.ts';
import { clusterFolder } from '../../dev/stack/postgresCluster.ts';
import { chooseStackPorts } from '../../dev/stack/stackPorts.ts';
import { StackSettings } from '../../dev/stack/stackSettings.ts';
import { canReach, unprivilegedUser } from '../../dev/stack/unprivileged.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
});

afterEach(() => rm(folder, { recursive: true }));

const asRoot = { skip: process.getuid?.() === 0 ? false : 'only root starts PostgreSQL as another user' };

test('a cluster lies in its home where its user can get there', asRoot, async () => {
  await chmod(folder, 0o711);
  const home = await openHome(join(folder, 'home'));
  assert.equal(await clusterFolder(home, unprivilegedUser()), join(home.path, 'postgres'));
});

test(
  'a cluster lies elsewhere if its user cannot reach the home, one place for each home',
  asRoot,
  async () => {
    const user = unprivilegedUser()!;
    const places = await Promise.all(
      ['a', 'b'].map(async (name) => clusterFolder(await openHome(join(folder, name)), user)),
    );
    assert.notEqual(places[0], places[1]);
    for (const place of places) {
      assert.ok(!place.startsWith(folder));
      await mkdir(join(place, '..'), { recursive: true });
      assert.ok(await canReach(place, user), place);
    }
  },
);

test('a user who is not root stays the same and reaches the same', async () => {
  assert.ok(await canReach(join(folder, 'anything'), undefined));
});

test('a home may be passed through; its secrets are its owner’s', async () => {
  const home = await openHome(join(folder, 'home'));
  assert.equal((await stat(home.path)).mode & 0o777, 0o711);
  assert.equal((await stat(home.keys)).mode & 0o777, 0o700);
  const keys = await ensureGrantKeys(home);
  assert.equal((await stat(keys)).mode & 0o777, 0o700);
  const made = await (await openKeyFolder(keys)).make();
  assert.equal((await stat(join(keys, `${made.kid}.jwk`))).mode & 0o777, 0o600);
  assert.equal(await ensureInstance(home), await ensureInstance(home));
});

test('the one key of a home of an earlier version moves to the others and keeps its name', async () => {
  const home = await openHome(folder);
  const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
  const jwk = await exportJWK(privateKey);
  const kid = await calculateJwkThumbprint(jwk);
  const single = join(home.keys, 'grant-signing.jwk');
  await writeFile(single, JSON.stringify({ ...jwk, kid, alg: 'EdDSA', use: 'sig' }), { mode: 0o600 });
  const keys = await ensureGrantKeys(home);
  await assert.rejects(stat(single), { code: 'ENOENT' });
  assert.deepEqual(
    (await (await openKeyFolder(keys)).read()).map((key) => [key.kid, key.x]),
    [[kid, jwk.x]],
  );
  assert.equal(await ensureGrantKeys(home), keys);
});

test('a private key that others can read is refused at the start', async () => {
  const keys = join(folder, 'keys');
  const { kid } = await (await openKeyFolder(keys)).make();
  await chmod(join(keys, `${kid}.jwk`), 0o640);
  await assert.rejects(openKeyFolder(keys), /can be read by others/);
});

test('a taken port moves to a free one and says so; the issuer’s stays what it was', async () => {
  const { port } = await choosePorts({ port: 0 });
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve));
  const home = await openHome(folder);
  const said: string[] = [];
  const free = Object.keys(StackSettings.shape).filter((name) => name.endsWith('_PORT'));
  const settings = StackSettings.parse({
    ...Object.fromEntries(free.map((name) => [name, '0'])),
    WAYBILL_API_PORT: String(port),
  });
  const first = await chooseStackPorts(home, settings, (line) => said.push(line));
  taken.close();
  assert.notEqual(first.api, port);
  assert.equal(said.length, 1);
  assert.match(said[0]!, new RegExp(`Port ${port} is taken, so the API is on ${first.api}`));
  const second = await chooseStackPorts(home, settings, (line) => said.push(line));
  assert.equal(second.api, port);
  assert.equal(second.issuer, first.issuer);
});

test('no port is given twice', async () => {
  const names = Array.from({ length: 50 }, (_, i) => `p${i}`);
  const chosen = await choosePorts(Object.fromEntries(names.map((name) => [name, 0])));
  assert.equal(new Set(Object.values(chosen)).size, 50);
});

test('dev.json is whole, for its owner, and gone once nothing is up', async () => {
  const home = await openHome(folder);
  const content = {
    apiUrl: 'http://127.0.0.1:8080',
    issuerUrl: 'http://127.0.0.1:8081',
    temporalAddress: '127.0.0.1:7233',
    temporalUiUrl: 'http://127.0.0.1:8233',
    metricsUrl: 'http://127.0.0.1:9464/metrics',
    databaseUrl: 'postgres://postgres:secret@127.0.0.1:5433/waybill',
    processes: [{ name: 'api' as const, pid: 42 }],
  };
  writeDevJson(home, content);
  assert.deepEqual(readDevJson(home.devJson), content);
  assert.equal((await stat(home.devJson)).mode & 0o777, 0o600);
  removeDevJson(home);
  assert.equal(readDevJson(home.devJson), undefined);
});
