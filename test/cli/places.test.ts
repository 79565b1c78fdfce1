import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { readDevJson, removeDevJson, writeDevJson } from '../../cli/dev/devJson.ts';
import { openHome } from '../../cli/dev/home.ts';
import { ensureGrantKey, ensureInstance } from '../../cli/dev/identityOfHome.ts';
import { choosePorts } from '../../cli/dev/ports.ts';
import { clusterFolder } from '../../cli/dev/postgresCluster.ts';
import { chooseStackPorts } from '../../cli/dev/stackPorts.ts';
import { StackSettings } from '../../cli/dev/stackSettings.ts';
import { canReach, unprivilegedUser } from '../../cli/dev/unprivileged.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
});

afterEach(() => rm(folder, { recursive: true }));

const asRoot = { skip: process.getuid?.() === 0 ? false : 'only root starts PostgreSQL as somebody else' };

test('a cluster lies in its home where its user can get there', asRoot, async () => {
  await chmod(folder, 0o711);
  const home = await openHome(join(folder, 'home'));
  assert.equal(await clusterFolder(home, unprivilegedUser()), join(home.path, 'postgres'));
});

test(
  'a cluster whose home is out of its user’s reach lies elsewhere, one place for each home',
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

test('whoever is not root stays who they are, and reaches what they reach', async () => {
  assert.ok(await canReach(join(folder, 'anything'), undefined));
});

test('a home may be passed through; its secrets are its owner’s', async () => {
  const home = await openHome(join(folder, 'home'));
  assert.equal((await stat(home.path)).mode & 0o777, 0o711);
  assert.equal((await stat(home.keys)).mode & 0o777, 0o700);
  const file = await ensureGrantKey(home);
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const key = JSON.parse(await readFile(file, 'utf8'));
  assert.equal(key.crv, 'Ed25519');
  assert.match(key.kid, /^[\w-]{43}$/);
  assert.equal(await ensureGrantKey(home), file);
  assert.equal(JSON.parse(await readFile(file, 'utf8')).d, key.d);
  assert.equal(await ensureInstance(home), await ensureInstance(home));
});

test('a taken port moves to a free one and says so; the issuer’s stays what it was', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const port = (taken.address() as { port: number }).port;
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
    databaseUrl: 'postgres://postgres:secret@127.0.0.1:5433/waybill',
    processes: [{ name: 'api' as const, pid: 42 }],
  };
  writeDevJson(home, content);
  assert.deepEqual(readDevJson(home.devJson), content);
  assert.equal((await stat(home.devJson)).mode & 0o777, 0o600);
  removeDevJson(home);
  assert.equal(readDevJson(home.devJson), undefined);
});
