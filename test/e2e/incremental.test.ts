import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { untilEnded } from '../../bench/smallRun.ts';
import type { Run } from '../../sdk/client.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { until } from '../support/until.ts';

interface Change {
  id: string;
  updated_at: string;
  n: number;
}

/** Tells the changes from `since` on, as a source should: those of the very moment too. It remembers what it was asked. */
async function serveChanges() {
  const changes = new Map<string, Change[]>();
  const asked: string[] = [];
  let failing = false;
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url!, 'http://localhost');
    const since = url.searchParams.get('since');
    asked.push(`${url.pathname} ${since}`);
    const all = changes.get(url.pathname) ?? [];
    const wanted = all.filter(
      (change) => since === null || Date.parse(change.updated_at) >= Date.parse(since),
    );
    if (wanted.length === 0) return void response.writeHead(204).end();
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(wanted.map((change) => `${JSON.stringify(change)}\n`).join(''));
    if (failing) response.destroy();
    else response.end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    urlOf: (name: string) => `http://${host}/${name}`,
    add: (name: string, ...more: Change[]) =>
      changes.set(`/${name}`, [...(changes.get(`/${name}`) ?? []), ...more]),
    asked: (name: string) =>
      asked.filter((one) => one.startsWith(`/${name} `)).map((one) => one.split(' ')[1]),
    fail: (now: boolean) => {
      failing = now;
    },
    close: () => void server.close().closeAllConnections(),
  };
}

const at = (second: number, n = second): Change => ({
  id: `c${second}`,
  updated_at: new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString(),
  n,
});

describe('a source that is read bit by bit', () => {
  let stack: DevStack;
  let database: pg.Client;
  let feed: Awaited<ReturnType<typeof serveChanges>>;
  let roots: string;
  let alice: Awaited<ReturnType<DevStack['as']>>;

  before(async () => {
    feed = await serveChanges();
    roots = await mkdtemp(join(tmpdir(), 'waybill-grows-'));
    stack = await startDevStack({
      project: fileURLToPath(new URL('../support/project', import.meta.url)),
      env: { WAYBILL_EGRESS_ALLOW: feed.host, WAYBILL_FILE_ROOTS: roots },
    });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    alice = await stack.as('alice');
  });
  after(async () => {
    await database?.end();
    await stack?.stop();
    feed?.close();
    await rm(roots, { recursive: true, force: true });
  });

  const rowsOf = async (text: string, values: unknown[] = []) => (await database.query(text, values)).rows;
  const waybill = (path: string, body?: object) =>
    alice(path, {
      ...(body && { method: 'POST', body: JSON.stringify(body) }),
      headers: { 'content-type': 'application/json' },
    });
  async function begin(pipeline: string, source: object): Promise<string> {
    const response = await waybill(`/v1/pipelines/${pipeline}/runs`, { source });
    const run = (await response.json()) as Run;
    assert.equal(response.status, 202, JSON.stringify(run));
    return run.id;
  }
  async function ended(id: string): Promise<Run> {
    await untilEnded(alice, id);
    return (await (await alice(`/v1/runs/${id}`)).json()) as Run;
  }
  const read = async (name: string) => ended(await begin('changes', { url: feed.urlOf(name) }));
  const markOf = async (name: string) =>
    (await rowsOf(`SELECT mark FROM waybill.watermark WHERE source ->> 'url' = $1`, [feed.urlOf(name)]))[0]
      ?.mark.value;

  it('is asked for what came since the run before, and a firing that was missed is made up by the next', async () => {
    feed.add('orders', at(1), at(2));
    assert.equal((await read('orders')).counts.stored, 2);
    assert.equal(await markOf('orders'), '2026-01-01T00:00:02Z');
    const again = await read('orders');
    assert.deepEqual([again.state, again.counts.read, again.counts.unchanged], ['completed', 1, 1]);
    // As if two firings had not come about.
    feed.add('orders', at(3), at(5), at(4));
    const { counts } = await read('orders');
    assert.deepEqual([counts.read, counts.stored, counts.unchanged], [4, 3, 1]);
    assert.deepEqual(feed.asked('orders'), ['null', '2026-01-01T00:00:02Z', '2026-01-01T00:00:02Z']);
    assert.equal(await markOf('orders'), '2026-01-01T00:00:05Z');
    const [{ n }] = await rowsOf(`SELECT count(*)::integer AS n FROM changes WHERE id ~ '^c[1-5]$'`);
    assert.equal(n, 5);
  });

  it('may have nothing at all, and the run is complete', async () => {
    const run = await read('empty');
    assert.deepEqual([run.state, run.counts.read], ['completed', 0], JSON.stringify(run));
    assert.equal(await markOf('empty'), undefined);
  });

  it('is no further after a run that failed or was cancelled', async () => {
    feed.add('broken', at(11));
    await read('broken');
    feed.add('broken', at(12), at(13));
    feed.fail(true);
    const id = await begin('changes', { url: feed.urlOf('broken') });
    await until('it was asked twice', async () => feed.asked('broken').length >= 3);
    await waybill(`/v1/runs/${id}/cancel`, {});
    assert.equal((await ended(id)).state, 'cancelled');
    feed.fail(false);
    assert.equal(await markOf('broken'), '2026-01-01T00:00:11Z');
    const next = await read('broken');
    assert.deepEqual([next.counts.stored, next.counts.unchanged], [2, 1]);
    const asked = feed.asked('broken').slice(1);
    assert.deepEqual(new Set(asked), new Set(['2026-01-01T00:00:11Z']), 'each attempt reads the same window');
  });

  it('moves with the rows or not at all, where a worker is killed between them', async () => {
    feed.add('killed', at(20));
    await read('killed');
    feed.add('killed', ...Array.from({ length: 25 }, (_, i) => at(21 + i)));
    // The last batch waits in the midst of its transaction, after its rows and before the mark.
    const holder = new pg.Client({ connectionString: stack.info().databaseUrl });
    await holder.connect();
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM waybill.watermark WHERE source ->> 'url' = $1 FOR UPDATE`, [
      feed.urlOf('killed'),
    ]);
    const id = await begin('changes', { url: feed.urlOf('killed') });
    const waiting = () =>
      rowsOf(
        `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%waybill.watermark%' AND usename = 'waybill_worker'`,
      );
    await until('it waits for the mark', async () => (await waiting()).length > 0);
    for (const name of ['worker-1', 'worker-2']) process.kill(stack.pid(name)!, 'SIGKILL');
    // A server notices that a client is gone when it next answers it.
    for (const { pid } of await waiting()) await rowsOf('SELECT pg_terminate_backend($1)', [pid]);
    const stored = () => rowsOf('SELECT seq FROM waybill.ledger WHERE run_id = $1 ORDER BY seq', [id]);
    assert.deepEqual(await stored(), [{ seq: 0 }, { seq: 1 }]);
    assert.equal(await markOf('killed'), '2026-01-01T00:00:20Z');
    await holder.query('ROLLBACK');
    await holder.end();
    const run = await ended(id);
    assert.deepEqual(
      [run.state, run.counts.read, run.counts.stored],
      ['completed', 26, 25],
      JSON.stringify(run),
    );
    assert.equal(await markOf('killed'), '2026-01-01T00:00:45Z');
    assert.equal((await stored()).length, 3);
  });

  it('takes no place in its URL but from its watermark', async () => {
    const response = await waybill('/v1/pipelines/changes/runs', {
      source: { url: `${feed.urlOf('x')}?since=1` },
    });
    assert.deepEqual(
      [response.status, ((await response.json()) as { code: string }).code],
      [422, 'SourceInvalid'],
    );
  });

  it('may be a file that grows: each run reads on where the last record ended', async () => {
    const path = join(roots, 'journal.csv');
    const append = async () => ended(await begin('journal', { path: 'journal.csv' }));
    const lines = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) => `${from + i},"text ${from + i}\nof two lines"\n`).join('');
    await writeFile(path, `id,text\n${lines(0, 25)}25,"half a rec`);
    assert.equal((await append()).counts.stored, 25);
    assert.deepEqual((await append()).counts.read, 0);
    await appendFile(path, `ord"\n${lines(26, 30)}bad\n`);
    const { counts, id } = await append();
    assert.deepEqual([counts.read, counts.stored, counts.rejected], [6, 5, 1]);
    const [letter] = await rowsOf(
      'SELECT line::integer, byte_offset::integer AS at FROM waybill.dead_letter WHERE run_id = $1',
      [id],
    );
    const text = `id,text\n${lines(0, 25)}25,"half a record"\n${lines(26, 30)}`;
    assert.deepEqual(letter, { line: text.split('\n').length, at: text.length });
    assert.equal((await append()).counts.read, 0);

    const whole = `${text}bad\n`;
    for (const other of [
      whole.slice(0, -1),
      whole.replace('id,text', 'id,TEXT'),
      whole.replace('bad', 'BAD'),
    ]) {
      await writeFile(path, other);
      const changed = await append();
      assert.deepEqual([changed.state, changed.reason?.code], ['failed', 'SourceChanged']);
    }
    await writeFile(path, `${whole}30,back\n`);
    assert.equal((await append()).counts.stored, 1);
  });

  it('says what it left of a file that grows, and goes on behind a quote that nothing closes', async () => {
    const path = join(roots, 'quoted.csv');
    const append = async (text: string) => {
      await appendFile(path, text);
      return ended(await begin('journal', { path: 'quoted.csv' }));
    };
    const first = await append('id,text\n100,a\n"101,b\n102,c\n');
    assert.deepEqual([first.counts.stored, first.leftBytes], [1, 13]);
    const second = await append('');
    assert.deepEqual([second.state, second.counts.read, second.leftBytes], ['completed', 0, 13]);
    const third = await append('103,d\n'.repeat(200_000));
    assert.deepEqual([third.counts.read, third.counts.rejected, third.leftBytes], [1, 1, undefined]);
    assert.deepEqual([third.state, third.reason?.code], ['failed', 'AllRejected']);
    const letters = await rowsOf(
      'SELECT code, line::integer, byte_length::integer AS bytes FROM waybill.dead_letter WHERE run_id = $1',
      [third.id],
    );
    assert.deepEqual(letters, [{ code: 'UnterminatedQuote', line: 3, bytes: 13 + 1_200_000 }]);
    const fourth = await append('104,e\n');
    assert.deepEqual([fourth.state, fourth.counts.stored], ['completed', 1]);
  });
});
