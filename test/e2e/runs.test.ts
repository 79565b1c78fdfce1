import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { untilEnded } from '../../bench/smallRun.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { until } from '../support/until.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;
interface Ended {
  id: string;
  state: string;
  counts: Record<string, number>;
  reason?: { code: string };
  unknownFields?: number;
  retrying?: { step: string; code: string; message: string; attempt: number; nextAttemptAt: string };
}

/** Serves `body` at `/feed`, and a redirect to it at `/moved`. */
async function serveFeed(
  body: () => string,
  status: () => number,
): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    if (request.url === '/moved') return response.writeHead(302, { location: '/feed' }).end();
    response.writeHead(status(), { 'content-type': 'application/x-ndjson' }).end(body());
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { server, port: (server.address() as AddressInfo).port };
}

describe('runs of the embedded stack', () => {
  let stack: DevStack;
  let database: pg.Client;
  let alice: Call;
  let roots: string;
  let feed: Awaited<ReturnType<typeof serveFeed>>;
  let feedBody = '';
  let feedStatus = 200;

  before(async () => {
    roots = await mkdtemp(join(tmpdir(), 'waybill-files-'));
    feed = await serveFeed(
      () => feedBody,
      () => feedStatus,
    );
    stack = await startDevStack({
      project: fileURLToPath(new URL('../support/project', import.meta.url)),
      env: { WAYBILL_FILE_ROOTS: roots, WAYBILL_EGRESS_ALLOW: `127.0.0.1:${feed.port}` },
    });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    alice = await stack.as('alice');
  });

  after(async () => {
    await database?.end();
    await stack?.stop();
    feed?.server.close();
    await rm(roots, { recursive: true, force: true });
  });

  const start = (pipeline: string, init: RequestInit & { duplex?: 'half' }) =>
    alice(`/v1/pipelines/${pipeline}/runs`, { method: 'POST', ...init });

  async function ended(response: Response): Promise<Ended> {
    const run = (await response.json()) as Ended;
    assert.equal(response.status, 202, JSON.stringify(run));
    await untilEnded(alice, run.id);
    return (await (await alice(`/v1/runs/${run.id}`)).json()) as Ended;
  }

  const upload = (body: NonNullable<RequestInit['body']>) =>
    start('readings', { body, headers: { 'content-type': 'application/x-ndjson' }, duplex: 'half' });
  const envelope = (pipeline: string, body: unknown) =>
    start(pipeline, { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } });

  async function rowsOf(sql: string, values: unknown[] = []) {
    return (await database.query(sql, values)).rows;
  }

  it('makes a dead letter of each bad record, with its place and its bytes, and goes on', async () => {
    const lines = [
      '{"sensor":"a","value":1}',
      '{"sensor":"b","value":',
      '{"sensor":"c","value":"two"}',
      '{"sensor":"d","value":4,"colour":"red"}',
      '{"sensor":"e","value":-5}',
      '{"sensor":"f","value":6e9}',
      `{"sensor":"${'g'.repeat(2_000)}","value":7}`,
      '{"sensor":"h\\u0000","value":8}',
      '[1,2,3]',
      `{"sensor":${'['.repeat(100_000)}`.slice(0, 900),
      '{"sensor":"k","value":1,"__proto__":{"admin":true}}',
      '{"sensor":"a","value":12}',
    ];
    const run = await ended(await upload(`\ufeff${lines.join('\n')}`));
    assert.equal(run.state, 'completed');
    const { read, passed, filtered, rejected, emitted, stored, unchanged, deduplicated } = run.counts;
    assert.deepEqual([read, passed, filtered, rejected], [12, 2, 1, 9]);
    assert.deepEqual([emitted, stored, unchanged, deduplicated], [2, 1, 0, 1]);
    const letters = await rowsOf(
      'SELECT line::integer, byte_offset::integer AS at, code, path, raw, object FROM waybill.dead_letter WHERE run_id = $1 ORDER BY position',
      [run.id],
    );
    assert.deepEqual(
      letters.map(({ line, code }) => [line, code]),
      [
        [2, 'MalformedJson'],
        [3, 'SchemaMismatch'],
        [4, 'UnknownField'],
        [6, 'OutOfRange'],
        [7, 'RecordTooLarge'],
        [8, 'NulByte'],
        [9, 'NotAnObject'],
        [10, 'TooDeep'],
        [11, 'UnsafeKey'],
      ],
    );
    assert.equal(letters[1].path, 'value');
    assert.equal(letters[0].raw.toString(), lines[1]);
    assert.equal(letters[0].at, 3 + lines[0]!.length + 1);
    const [row] = await rowsOf(`SELECT value FROM readings WHERE sensor = 'a'`);
    assert.equal(row.value, 12, 'of two records with one key the later wins');
  });

  it('validates the first batch before the last byte is in, and stores none until then', async () => {
    const { readable: body, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, {
      highWaterMark: 100,
    });
    const more = writable.getWriter();
    const line = (i: number) => Buffer.from(`{"sensor":"slow-${i}","value":${i}}\n`);
    const answer = upload(body);
    for (let i = 0; i < 25; i++) void more.write(line(i));

    const watch = new pg.Client({ connectionString: stack.info().databaseUrl });
    await watch.connect();
    const validated = async () => {
      const rows = await rowsOf(
        `SELECT r.id FROM waybill.run r JOIN waybill.stage s ON s.run_id = r.id WHERE r.arrival = 'open' AND s.stage = 'transform'`,
      );
      return rows.length >= 2 ? rows[0].id : undefined;
    };
    let runId = await validated();
    while (!runId) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      runId = await validated();
    }
    await watch.end();
    const [{ n }] = await rowsOf('SELECT count(*)::integer AS n FROM waybill.ledger WHERE run_id = $1', [
      runId,
    ]);
    assert.equal(n, 0);

    await more.close();
    const run = await ended(await answer);
    assert.equal(run.id, runId);
    assert.equal(run.counts.stored, 25);
  });

  it('fails as UploadIncomplete when the client vanishes, with no row stored', async () => {
    const { readable: body, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, {
      highWaterMark: 100,
    });
    const more = writable.getWriter();
    const leaving = new AbortController();
    const answer = start('readings', {
      body,
      headers: { 'content-type': 'application/x-ndjson' },
      duplex: 'half',
      signal: leaving.signal,
    }).catch(() => undefined);
    for (let i = 0; i < 25; i++) void more.write(Buffer.from(`{"sensor":"gone-${i}","value":1}\n`));
    const open = () => rowsOf(`SELECT id FROM waybill.run WHERE arrival = 'open' AND ended_at IS NULL`);
    let [run] = await open();
    while (!run) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      [run] = await open();
    }
    leaving.abort();
    await answer;
    assert.equal(await untilEnded(alice, run.id), 'failed');
    const [record] = await rowsOf('SELECT reason FROM waybill.run WHERE id = $1', [run.id]);
    assert.equal(record.reason.code, 'UploadIncomplete');
    assert.deepEqual(await rowsOf(`SELECT FROM readings WHERE sensor LIKE 'gone-%'`), []);
  });

  it('keeps fields that the input does not name, each digit of them, and counts them', async () => {
    const lines = [
      '{"id":"a","at":{"city":"Oslo","zip":150},"n":1.0000000000000000000001}',
      '{"id":"b"}',
      '{"id":1,"colour":"red"}',
    ];
    const headers = { 'content-type': 'application/x-ndjson' };
    const run = await ended(await start('intakes', { body: `${lines.join('\n')}\n`, headers }));
    assert.deepEqual([run.state, run.counts.stored, run.counts.rejected], ['completed', 2, 1]);
    assert.equal(run.unknownFields, 2);
    const kept = await rowsOf('SELECT id, _extra::text AS extra FROM intakes ORDER BY id');
    assert.deepEqual(kept, [
      { id: 'a', extra: '{"n": 1.0000000000000000000001, "at": {"zip": 150}}' },
      { id: 'b', extra: null },
    ]);
  });

  it('reads a file below its roots, header and all', async () => {
    const lines = [
      'code,name,opened',
      ...Array.from({ length: 25 }, (_, i) => `S${i},"Station ""${i}""\nplatform",`),
    ];
    await writeFile(join(roots, 'stations.csv'), `${lines.join('\r\n')}\r\n`);
    const run = await ended(await envelope('stations', { source: { path: 'stations.csv' } }));
    assert.equal(run.state, 'completed', JSON.stringify(run));
    assert.equal(run.counts.stored, 25);
    const [row] = await rowsOf(`SELECT name, opened, _source FROM stations WHERE code = 'S7'`);
    assert.deepEqual(row, { name: 'Station "7"\nplatform', opened: null, _source: 'stations.csv' });
  });

  it('completes with nothing where a CSV has a header and no rows', async () => {
    await writeFile(join(roots, 'quiet.csv'), 'code,name,opened\n');
    const run = await ended(await envelope('stations', { source: { path: 'quiet.csv' } }));
    assert.deepEqual([run.state, run.counts.read], ['completed', 0]);
    await writeFile(join(roots, 'nothing.csv'), '');
    const nothing = await ended(await envelope('stations', { source: { path: 'nothing.csv' } }));
    assert.deepEqual([nothing.state, nothing.reason?.code], ['failed', 'SourceEmpty']);
  });

  it('fails at once, without dead letters, where the header or the format is another', async () => {
    const cases: [name: string, bytes: string | Buffer, code: string][] = [
      ['other.csv', `a;b\n${'1;2\n'.repeat(1_000)}`, 'HeaderInvalid'],
      ['macintosh.csv', 'code,name,opened\rS1,a,\rS2,b,\r', 'HeaderInvalid'],
      ['packed.csv', gzipSync('code,name,opened\n'), 'FormatMismatch'],
      ['wide.csv', Buffer.from('\ufeffcode,name,opened\n', 'utf16le'), 'FormatMismatch'],
      ['cut.csv.gz', gzipSync('code,name,opened\nS1,a,\n').subarray(0, -4), 'DecompressionFailed'],
    ];
    for (const [name, bytes, code] of cases) {
      await writeFile(join(roots, name), bytes);
      const run = await ended(await envelope('stations', { source: { path: name } }));
      assert.deepEqual([run.state, run.reason?.code], ['failed', code], name);
      assert.deepEqual(await rowsOf('SELECT id FROM waybill.dead_letter WHERE run_id = $1', [run.id]), []);
    }
  });

  it('reads a file that is compressed, as its name says', async () => {
    await writeFile(join(roots, 'stations.csv.gz'), gzipSync('code,name,opened\nG1,one,\nG2,two,\n'));
    await writeFile(join(roots, 'stations.csv.zst'), zstdCompressSync('code,name,opened\nZ1,one,\n'));
    for (const [path, stored] of [
      ['stations.csv.gz', 2],
      ['stations.csv.zst', 1],
    ]) {
      const run = await ended(await envelope('stations', { source: { path } }));
      assert.deepEqual([run.state, run.counts.stored], ['completed', stored], String(path));
    }
  });

  it('fails where every record was rejected, and keeps counts and dead letters', async () => {
    const run = await ended(await upload('{"sensor":1}\n{"value":2}\n'));
    assert.deepEqual([run.state, run.reason?.code], ['failed', 'AllRejected']);
    assert.deepEqual([run.counts.read, run.counts.rejected], [2, 2]);
    const letters = await rowsOf('SELECT code FROM waybill.dead_letter WHERE run_id = $1', [run.id]);
    assert.equal(letters.length, 2);
  });

  it('replaces a whole table at its end, or leaves it as it is', async () => {
    const replace = async (name: string, rows: string[]) => {
      await writeFile(join(roots, name), ['sku,since,price', ...rows, ''].join('\n'));
      const run = await ended(await envelope('prices', { source: { path: name } }));
      const [table] = await rowsOf(
        'SELECT count(*)::int AS rows, coalesce(sum(price), 0)::int AS sum FROM prices',
      );
      return {
        ends: run.reason?.code ?? run.state,
        stored: run.counts.stored,
        unchanged: run.counts.unchanged,
        ...table,
      };
    };
    const many = Array.from({ length: 25 }, (_, i) => `s${i},2024-0${(i % 9) + 1}-01,2`);
    const full = { ends: 'completed', rows: 25, sum: 50 };
    assert.deepEqual(await replace('many.csv', many), { ...full, stored: 25, unchanged: 0 });
    assert.deepEqual(await replace('many.csv', many), { ...full, stored: 0, unchanged: 25 });
    assert.deepEqual(await replace('wrong.csv', ['s1,never,1']), {
      ...full,
      ends: 'AllRejected',
      stored: 0,
      unchanged: 0,
    });
    const few = ['s1,2024-02-01,2', 's1,2025-02-01,7', 's2,wrong,1'];
    assert.deepEqual(await replace('few.csv', few), {
      ends: 'completed',
      rows: 2,
      sum: 9,
      stored: 1,
      unchanged: 1,
    });
    assert.deepEqual(await replace('none.csv', []), {
      ends: 'completed',
      rows: 0,
      sum: 0,
      stored: 0,
      unchanged: 0,
    });
  });

  it('refuses a file outside of its roots', async () => {
    const response = await envelope('stations', { source: { path: '../../etc/passwd' } });
    const body = (await response.json()) as { code: string };
    assert.deepEqual([response.status, body.code], [422, 'SourceRefused']);
  });

  it('reads a URL of a host that the operator named, redirects included', async () => {
    feedBody = Array.from(
      { length: 25 },
      (_, i) => `{"id":"f${i}","at":"2026-01-02T03:04:05Z","size":${i}}`,
    ).join('\n');
    const run = await ended(
      await envelope('feed', { source: { url: `http://127.0.0.1:${feed.port}/moved` } }),
    );
    assert.equal(run.state, 'completed', JSON.stringify(run));
    assert.equal(run.counts.stored, 25);
    const [row] = await rowsOf(`SELECT at FROM feed WHERE id = 'f3'`);
    assert.equal(row.at.toISOString(), '2026-01-02T03:04:05.000Z');
  });

  it('says why a run stands still and when it is retried, and shows no secret of its URL', async () => {
    feedBody = '{"id":"late","at":"2026-01-02T03:04:05Z","size":1}';
    feedStatus = 503;
    const url = `http://127.0.0.1:${feed.port}/feed?key=s3cret`;
    const { id } = (await (await envelope('feed', { source: { url } })).json()) as Ended;
    const shown = async () => (await (await alice(`/v1/runs/${id}`)).json()) as Ended;
    try {
      const { retrying } = await until('the run says why it stands still', async () => {
        const run = await shown();
        return (run.retrying?.attempt ?? 0) > 1 && run;
      });
      const { step, code, message, nextAttemptAt } = retrying!;
      assert.deepEqual([step, code], ['fetch', 'SourceUnavailable']);
      assert.match(message, /503/);
      assert.ok(Math.abs(Date.parse(nextAttemptAt) - Date.now()) < 30_000, nextAttemptAt);
    } finally {
      feedStatus = 200;
    }
    await untilEnded(alice, id);
    const run = await shown();
    assert.equal(run.state, 'completed', JSON.stringify(run));
    assert.equal(run.retrying, undefined);
    const audit = await (await alice(`/v1/runs/${id}/audit`)).text();
    assert.match(audit, /feed\?key=\*\*\*/);
    assert.doesNotMatch(audit, /s3cret/);
  });

  it('refuses a URL of this machine in every spelling', async () => {
    const other = feed.port + 1;
    for (const host of [
      '127.0.0.1',
      '2130706433',
      '0x7f000001',
      '0177.0.0.1',
      '[::1]',
      '[::ffff:7f00:1]',
      '169.254.169.254',
    ]) {
      const response = await envelope('feed', { source: { url: `http://${host}:${other}/` } });
      const body = (await response.json()) as { code: string };
      assert.deepEqual([response.status, body.code], [422, 'SourceRefused'], host);
    }
  });

  it('fails a run when its source does not hold what its name says', async () => {
    feedBody = '';
    const run = await ended(
      await envelope('feed', { source: { url: `http://127.0.0.1:${feed.port}/feed` } }),
    );
    assert.deepEqual([run.state, run.reason?.code], ['failed', 'SourceEmpty']);
  });

  it('keeps the history of a long run short by continuing as new', async () => {
    const records = Array.from({ length: 2_400 }, (_, i) => `{"sensor":"long-${i}","value":${i}}`).join('\n');
    const run = await ended(await upload(records));
    assert.equal(run.state, 'completed', JSON.stringify(run));
    assert.equal(run.counts.stored, 2_400);
    const connection = await Connection.connect({ address: stack.info().temporalAddress });
    const client = new Client({ connection });
    const lengths: number[] = [];
    for await (const execution of client.workflow.list({ query: `WorkflowId = '${run.id}'` }))
      lengths.push(execution.historyLength);
    await connection.close();
    assert.ok(lengths.length >= 2, 'it continued as new');
    assert.ok(Math.max(...lengths) < 4_000, `histories of ${lengths} events`);
  });

  it('cancels a run, which then stores nothing more', async () => {
    const records = Array.from({ length: 3_000 }, (_, i) => `{"sensor":"cancel-${i}","value":${i}}`).join(
      '\n',
    );
    const accepted = (await (await upload(records)).json()) as Ended;
    const cancelled = await alice(`/v1/runs/${accepted.id}/cancel`, { method: 'POST' });
    assert.equal(cancelled.status, 202);
    assert.equal(await untilEnded(alice, accepted.id), 'cancelled');
    const run = (await (await alice(`/v1/runs/${accepted.id}`)).json()) as Ended;
    assert.equal(run.reason?.code, 'RunCancelled');
    const count = async () =>
      (await rowsOf(`SELECT count(*)::integer AS n FROM readings WHERE _run = $1`, [run.id]))[0].n;
    assert.equal(await count(), run.counts.stored);
    const again = await alice(`/v1/runs/${accepted.id}/cancel`, { method: 'POST' });
    assert.deepEqual([again.status, ((await again.json()) as { code: string }).code], [409, 'RunEnded']);
  });

  it('removes a run and its bytes once its retention is over, by a schedule of its own; rows and audit stay', async () => {
    const run = await ended(await upload('{"sensor":"kept-long-enough","value":1}\n'));
    const objects = async () =>
      (await readdir(join(stack.home, 'objects'), { recursive: true })).filter((name) =>
        name.includes(run.id),
      );
    await database.query(`UPDATE waybill.run SET ended_at = now() - interval '401 days' WHERE id = $1`, [
      run.id,
    ]);
    const connection = await Connection.connect({ address: stack.info().temporalAddress });
    const sweep = new Client({ connection }).schedule.getHandle('waybill-sweep');
    await sweep.trigger();
    await until('the run is removed', async () => (await alice(`/v1/runs/${run.id}`)).status === 404);
    await connection.close();
    assert.deepEqual(await objects(), []);
    assert.equal((await rowsOf('SELECT FROM readings WHERE _run = $1', [run.id])).length, 1);
    const events = await rowsOf('SELECT action FROM waybill.audit_event WHERE run_id = $1 ORDER BY id', [
      run.id,
    ]);
    assert.deepEqual(events.at(-1), { action: 'run.deleted' });
  });
});
