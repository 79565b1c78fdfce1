import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { searchAttributeNames } from '../../adapters/temporal/searchAttributes.ts';
import { searchAttributes } from '../../dev/stack/temporal.ts';
import { cachedIn, findTemporal, type TemporalSearch } from '../../dev/stack/temporalBinary.ts';
import { refusalOf } from '../../dev/stack/temporalVersion.ts';

let folder: string;
let search: TemporalSearch;
let said: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
  said = [];
  search = {
    searchPath: join(folder, 'path'),
    cache: join(folder, 'cache'),
    // Nobody listens on the discard port.
    downloadUrl: 'http://127.0.0.1:9/',
    signal: new AbortController().signal,
    say: (line) => said.push(line),
  };
});

afterEach(() => rm(folder, { recursive: true }));

/** A program that says it is a Temporal CLI with that server. */
async function fake(path: string, server: string): Promise<string> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, temporalScript(server), { mode: 0o755 });
  return path;
}

function temporalScript(server: string): string {
  return `#!/bin/sh\necho 'temporal version 1.0.0 (Server ${server}, UI 2.0.0)'\n`;
}

/** A `go` that “builds” such a program and writes a line to `built` each time. */
async function fakeGo(): Promise<void> {
  await mkdir(search.searchPath, { recursive: true });
  const script = `#!/bin/sh
[ "$1" = version ] && exit 0
echo "$@" >> '${join(folder, 'built')}'
while [ "$1" != -o ]; do shift; done
cat > "$2" <<'END'
${temporalScript('1.29.7')}END
`;
  await writeFile(join(search.searchPath, 'go'), script, { mode: 0o755 });
}

test('TEMPORAL_CLI_PATH goes before everything', async () => {
  await fake(join(search.searchPath, 'temporal'), '1.31.0');
  const cliPath = await fake(join(folder, 'mine'), '1.30.3');
  assert.equal(await findTemporal({ ...search, cliPath }), cliPath);
});

test('a TEMPORAL_CLI_PATH that cannot be used is an error, not passed over', async () => {
  await fake(join(search.searchPath, 'temporal'), '1.31.0');
  const cliPath = await fake(join(folder, 'mine'), '1.29.1');
  await assert.rejects(findTemporal({ ...search, cliPath }), /TEMPORAL_CLI_PATH.*CVE-2026-5199/);
  await assert.rejects(findTemporal({ ...search, cliPath: join(folder, 'none') }), /TEMPORAL_CLI_PATH/);
});

test('PATH goes before the cache', async () => {
  const onPath = await fake(join(search.searchPath, 'temporal'), '1.31.0');
  await fake(cachedIn(search.cache), '1.29.7');
  assert.equal(await findTemporal(search), onPath);
});

test('a vulnerable server on PATH is passed over and said', async () => {
  await fake(join(search.searchPath, 'temporal'), '1.30.2');
  const cached = await fake(cachedIn(search.cache), '1.29.7');
  assert.equal(await findTemporal(search), cached);
  assert.match(said.join('\n'), /CVE-2026-5199/);
});

test('the download goes before a build and is cached', async () => {
  await fakeGo();
  await fake(join(folder, 'archive', 'temporal'), '1.31.0');
  const archive = execFileSync('tar', ['-czf', '-', '-C', join(folder, 'archive'), 'temporal']);
  await using server = await serve(archive);
  const downloadUrl = server.url;
  assert.equal(await findTemporal({ ...search, downloadUrl }), cachedIn(search.cache));
  await assert.rejects(readFile(join(folder, 'built')), { code: 'ENOENT' });
  assert.equal(await findTemporal(search), cachedIn(search.cache));
});

test('two starts at once build once', async () => {
  await fakeGo();
  const found = await Promise.all([findTemporal(search), findTemporal(search), findTemporal(search)]);
  assert.deepEqual(new Set(found), new Set([cachedIn(search.cache)]));
  const builds = (await readFile(join(folder, 'built'), 'utf8')).trim().split('\n');
  assert.equal(builds.length, 1);
  assert.match(builds[0]!, /^build .*github\.com\/temporalio\/cli\/cmd\/temporal$/);
});

test('a vulnerable server in the cache is replaced', async () => {
  await fakeGo();
  await fake(cachedIn(search.cache), '1.29.4');
  const found = await findTemporal(search);
  assert.match(execFileSync(found, ['--version'], { encoding: 'utf8' }), /1\.29\.7/);
});

test('where there is no way, one line says what to do', async () => {
  const error: Error = await findTemporal(search).then(
    () => assert.fail('found one'),
    (reason) => reason,
  );
  assert.match(error.message, /set TEMPORAL_CLI_PATH.*install Go/);
  assert.doesNotMatch(error.message, /\n/);
});

test('versions are judged as the advisory says', () => {
  const verdict = (server: string) => refusalOf(`temporal version 1.5.1 (Server ${server}, UI 2.42.1)`);
  for (const refused of ['1.28.9', '1.29.0', '1.29.4', '1.30.0', '1.30.2', '2.0.0'])
    assert.ok(verdict(refused), refused);
  for (const fine of ['1.29.5', '1.29.7', '1.30.3', '1.31.0', '1.32.0-154.1'])
    assert.equal(verdict(fine), undefined, fine);
  assert.ok(refusalOf('hello'));
});

test('the server is told of every search attribute that runs have', () => {
  assert.deepEqual([...searchAttributes], [...searchAttributeNames]);
});

async function serve(body: Buffer): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer((_request, response) => response.end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
