import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client, Connection, WorkflowFailedError } from '@temporalio/client';
import pg from 'pg';
import { carryingGrant, grantClientInterceptor } from '../../adapters/temporal/clientInterceptors.ts';
import { generateOrders } from '../../bench/generateOrders.ts';
import { untilEnded } from '../../bench/smallRun.ts';
import { obtainToken } from '../../cli/embedded/obtainToken.ts';
import { choosePorts } from '../../dev/stack/ports.ts';
import { createWaybillClient, type DeadLetterDetail as Letter } from '../../sdk/client.ts';
import { runWaybill, startCommand } from '../cli/waybillProcess.ts';
import { approveRun, untilItWaits } from '../support/approveRun.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { until } from '../support/until.ts';
import { followWebhooksPage } from './webhooksPage.ts';

const birdstrikes = readFileSync(
  new URL('../../node_modules/vega-datasets/data/birdstrikes.csv', import.meta.url),
);

const orders = readFileSync('examples/acme/data/orders.ndjson');

describe('the embedded stack with the project acme', () => {
  let stack: DevStack;
  /** Of the receiver of events in docs/webhooks.md. */
  let port: number;
  let database: pg.Client;
  let alice: Awaited<ReturnType<DevStack['as']>>;
  let bob: typeof alice;

  before(async () => {
    ({ port } = await choosePorts({ port: 0 }));
    stack = await startDevStack({ env: { WAYBILL_CALLBACK_ALLOW: `127.0.0.1:${port}` } });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    alice = await stack.as('alice');
    bob = await stack.as('bob');
  });

  after(async () => {
    await database?.end();
    await stack?.stop();
  });

  async function send(call: typeof alice, pipeline: string, type: string, body: string | Uint8Array) {
    const response = await call(`/v1/pipelines/${pipeline}/runs`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: body as NonNullable<RequestInit['body']>,
    });
    const run = (await response.json()) as { id: string };
    assert.equal(response.status, 202, JSON.stringify(run));
    assert.equal(response.headers.get('location'), `${stack.info().apiUrl}/v1/runs/${run.id}`);
    // Only another person of its tenant can let it through.
    if (pipeline === 'birdstrikes') await approveRun(bob, run.id);
    await untilEnded(call, run.id);
    const answer = await call(`/v1/runs/${run.id}`);
    return (await answer.json()) as {
      id: string;
      state: string;
      counts: Record<string, number>;
      reason?: { code: string };
      requestedBy: { subject: string };
    };
  }

  const sends = (method: string, body: unknown): RequestInit => ({
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });

  async function got<T>(call: typeof alice, path: string): Promise<T> {
    const response = await call(path);
    const answer = (await response.json()) as T;
    assert.equal(response.status, 200, JSON.stringify(answer));
    return answer;
  }

  async function rowsOf(sql: string, values: unknown[] = []) {
    return (await database.query(sql, values)).rows;
  }

  it('stores 9,976 birdstrikes of 10,000, for 24 are the same row twice', async () => {
    const run = await send(alice, 'birdstrikes', 'text/csv', birdstrikes);
    assert.equal(run.state, 'completed');
    assert.deepEqual(run.counts, {
      read: 10_000,
      passed: 10_000,
      filtered: 0,
      rejected: 0,
      emitted: 10_000,
      stored: 9_976,
      unchanged: 0,
      deduplicated: 24,
    });
    const [{ n }] = await rowsOf('SELECT count(*)::integer AS n FROM birdstrikes WHERE _tenant = $1', [
      'acme',
    ]);
    assert.equal(n, 9_976);
  });

  it('writes nothing when the same data comes again', async () => {
    const run = await send(alice, 'birdstrikes', 'text/csv', birdstrikes);
    assert.equal(run.counts.stored, 0);
    assert.equal(run.counts.unchanged, 9_976);
    assert.equal(run.counts.deduplicated, 24);
  });

  it('counts all that in the metrics of its workers, and the requests in those of its API', async () => {
    const { metricsUrl, processes } = stack.info();
    const read = async (url: string) => (await fetch(url)).text();
    const workers = await Promise.all(
      processes.flatMap(({ name, metricsUrl: url }) => (url && /^worker-/.test(name) ? [read(url)] : [])),
    );
    assert.equal(workers.length, 2);
    const sumOf = (outcome: string) =>
      workers
        .map((text) =>
          new RegExp(
            `^waybill_records_total{pipeline="birdstrikes",tenant="acme",outcome="${outcome}"} (\\d+)$`,
            'm',
          ).exec(text),
        )
        .reduce((sum, found) => sum + Number(found?.[1] ?? 0), 0);
    assert.deepEqual([sumOf('passed'), sumOf('stored'), sumOf('unchanged')], [20_000, 9_976, 9_976]);
    for (const text of workers) {
      assert.match(text, /^waybill_backlog_up 1$/m);
      assert.match(text, /^temporal_worker_task_slots_available{/m);
    }
    assert.match(
      await read(metricsUrl),
      /^waybill_http_request_duration_seconds_count{method="POST",route="\/v1\/pipelines\/:id\/runs",status="202"} 2$/m,
    );
  });

  it('keeps the rows of another tenant apart, and its runs out of sight', async () => {
    const dave = await stack.as('dave');
    assert.equal((await send(alice, 'orders', 'application/x-ndjson', orders)).counts.stored, 3);
    const run = await send(dave, 'orders', 'application/x-ndjson', orders);
    assert.equal(run.counts.stored, 3);
    assert.equal(run.requestedBy.subject, 'dave');
    const seen = await alice(`/v1/runs/${run.id}`);
    assert.equal(seen.status, 404);
    assert.equal(((await seen.json()) as { code: string }).code, 'RunNotFound');
  });

  it('carries one trace id from the call to the stored batch', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const response = await alice('/v1/pipelines/birdstrikes/runs', {
      method: 'POST',
      headers: { 'content-type': 'text/csv', traceparent: `00-${traceId}-b7ad6b7169203331-01` },
      body: birdstrikes,
    });
    const { id } = (await response.json()) as { id: string };
    await approveRun(bob, id);
    await untilEnded(alice, id);
    const events = await rowsOf(
      'SELECT action, txn, actor FROM waybill.audit_event WHERE run_id = $1 ORDER BY id',
      [id],
    );
    assert.deepEqual(
      events.map(({ action }) => action),
      [
        'run.accepted',
        'run.started',
        'batch.validated',
        'batch.transformed',
        'approval.requested',
        'decision.submitted',
        'decision.counted',
        'approval.approved',
        'run.published',
        'run.completed',
      ],
    );
    // What bob decided came by a call of his own.
    const own = events.filter(({ action }) => action !== 'decision.submitted');
    assert.ok(own.every(({ txn }) => txn === traceId));
    const ofBob = ['decision.submitted', 'decision.counted', 'approval.approved'];
    const [byBob, byAlice] = [true, false].map((his) => [
      ...new Set(events.flatMap(({ action, actor }) => (ofBob.includes(action) === his ? [actor.id] : []))),
    ]) as [string[], string[]];
    assert.deepEqual([byBob.length, byAlice.length], [1, 1]);
    assert.notEqual(byBob[0], byAlice[0]);
  });

  describe('a workflow that is started in Temporal by hand', () => {
    let connection: Connection;
    let client: Client;

    before(async () => {
      connection = await Connection.connect({ address: stack.info().temporalAddress });
      client = new Client({ connection, interceptors: { workflow: [grantClientInterceptor] } });
    });
    after(() => connection?.close());

    const input = {
      runId: 'x',
      pipeline: 'birdstrikes',
      version: 1,
      pulled: false,
      useLocalActivities: true,
      concurrency: 1,
      deadlineMs: 60_000,
    };

    async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
      try {
        await work;
        return undefined;
      } catch (error) {
        let cause: unknown = error;
        while (cause instanceof Error && !('type' in cause && typeof cause.type === 'string'))
          cause = cause.cause;
        assert.ok(error instanceof WorkflowFailedError);
        return (cause as { type: string }).type;
      }
    }

    it('has no grant and touches nothing', async () => {
      const workflowId = 'birdstrikes-by-hand';
      const run = client.workflow.execute('runPipeline', { workflowId, taskQueue: 'waybill', args: [input] });
      assert.equal(await codeOf(run), 'GrantMissing');
      const denials = await rowsOf(
        `SELECT detail->>'code' AS code, actor FROM waybill.audit_event WHERE run_id = $1 AND outcome = 'denied'`,
        [workflowId],
      );
      assert.ok(denials.length >= 1);
      assert.ok(denials.every(({ code, actor }) => code === 'GrantMissing' && actor === null));
    });

    it('cannot use the grant of another run', async () => {
      const [{ grant_jws: grant }] = await rowsOf('SELECT grant_jws FROM waybill.run LIMIT 1');
      const workflowId = 'birdstrikes-with-a-stolen-grant';
      const run = carryingGrant(grant, () =>
        client.workflow.execute('runPipeline', { workflowId, taskQueue: 'waybill', args: [input] }),
      );
      assert.equal(await codeOf(run), 'GrantMismatch');
    });

    it('cannot use a grant that was altered', async () => {
      const [{ grant_jws: grant }] = await rowsOf('SELECT grant_jws FROM waybill.run LIMIT 1');
      const [header, payload, signature] = grant.split('.');
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
      claims.tctx.workflowId = 'birdstrikes-altered';
      const altered = [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join(
        '.',
      );
      const run = carryingGrant(altered, () =>
        client.workflow.execute('runPipeline', {
          workflowId: 'birdstrikes-altered',
          taskQueue: 'waybill',
          args: [input],
        }),
      );
      assert.equal(await codeOf(run), 'GrantInvalid');
    });
  });

  it('repairs a rejected order, and stores it once', async () => {
    const good = orders.toString().split('\n')[0]!;
    const bad = good.replace('"web"', '"fax"').replace('"app"', '"fax"').replace('"store"', '"fax"');
    const order = JSON.parse(good) as { order_id: string };
    const id = 'ord_repaired0001';
    const text = bad.replace(order.order_id, id);
    const run = await send(alice, 'orders', 'application/x-ndjson', `${good}\n${text}\n`);
    assert.deepEqual([run.state, run.counts.rejected], ['completed', 1]);

    const { items } = await got<{ items: Letter[] }>(bob, `/v1/dead-letters?run=${run.id}`);
    assert.deepEqual(
      items.map(({ state, attempt, code, path, line }) => [state, attempt, code, path, line]),
      [['open', 1, 'SchemaMismatch', 'channel', 2]],
    );
    const letter = items[0]!.id;
    const path = `/v1/dead-letters/${letter}`;
    assert.deepEqual((await got<Letter>(bob, path)).value, { raw: { text }, edit: null, header: null });
    assert.equal((await got<Letter>(alice, path)).value, null, 'a data engineer does not see values');

    const wrong = await bob(path, sends('PATCH', { record: JSON.parse(text) }));
    assert.equal(wrong.status, 422);
    const { code, issues } = (await wrong.json()) as { code: string; issues: { path: string }[] };
    assert.deepEqual([code, issues[0]!.path], ['RepairRejected', '/record/channel']);

    const fixed = await bob(path, sends('PATCH', { record: { ...JSON.parse(good), order_id: id } }));
    const kept = (await fixed.json()) as { kept: boolean; letter: Letter; outcome: { rows: object[] } };
    assert.equal(fixed.status, 200, JSON.stringify(kept));
    assert.deepEqual([kept.kept, kept.letter.state, kept.outcome.rows.length], [true, 'repaired', 1]);

    const redriven = await bob('/v1/dead-letters/redrive', sends('POST', { ids: [letter] }));
    const redrive = (await redriven.json()) as { id: string };
    assert.equal(redriven.status, 202, JSON.stringify(redrive));
    const again = await bob('/v1/dead-letters/redrive', sends('POST', { ids: [letter] }));
    assert.equal(again.status, 409);
    assert.equal(((await again.json()) as { code: string }).code, 'DeadLetterNotOpen');
    await untilEnded(bob, redrive.id);
    const ended = await got<{ state: string; counts: Record<string, number> }>(bob, `/v1/runs/${redrive.id}`);
    assert.deepEqual([ended.state, ended.counts.stored], ['completed', 1]);
    const settled = await got<Letter>(bob, path);
    assert.deepEqual([settled.state, settled.attempt, settled.redrive], ['resolved', 2, redrive.id]);
    assert.equal((await rowsOf('SELECT FROM orders WHERE order_id = $1', [id])).length, 1);

    const events = await rowsOf(
      `SELECT action, run_id FROM waybill.audit_event
       WHERE detail ->> 'letter' = $1 OR detail -> 'letters' ? $1 ORDER BY id`,
      [letter],
    );
    assert.deepEqual(
      events.map(({ action, run_id }) => [action, run_id === run.id ? 'first' : 'redrive']),
      [
        ['dead-letter.recorded', 'first'],
        ['dead-letter.revealed', 'first'],
        ['dead-letter.repaired', 'first'],
        ['dead-letter.redriven', 'redrive'],
        ['dead-letter.settled', 'redrive'],
        ['dead-letter.revealed', 'first'],
      ],
    );
    const history = await got<{ items: { action: string; run: string; detail: Record<string, unknown> }[] }>(
      bob,
      `${path}/audit`,
    );
    assert.deepEqual(
      history.items.map(({ action, run: of }) => [action, of === run.id ? 'first' : 'redrive']),
      [
        ['run.accepted', 'first'],
        ['dead-letter.recorded', 'first'],
        ['dead-letter.revealed', 'first'],
        ['dead-letter.repaired', 'first'],
        ['run.accepted', 'redrive'],
        ['dead-letter.redriven', 'redrive'],
        ['dead-letter.settled', 'redrive'],
        ['batch.stored', 'redrive'],
        ['run.completed', 'redrive'],
        ['dead-letter.revealed', 'first'],
      ],
    );
    const digest = createHash('sha256').update(text).digest('hex');
    const edited = history.items.find(({ action }) => action === 'dead-letter.repaired')!.detail;
    assert.equal(edited.before, digest, 'of this letter only, as the digest of its bytes');
    assert.match(String(edited.after), /^[0-9a-f]{64}$/);
  });

  it('edits rejected orders by a rule, and keeps what fits', async () => {
    const good = JSON.parse(orders.toString().split('\n')[0]!) as object;
    const records = [
      { ...good, order_id: 'ord_byrule000001', channel: 'fax' },
      { ...good, order_id: 'ord_byrule000002', channel: 'telex' },
      { ...good, order_id: 'bad', channel: 'fax' },
    ];
    const lines = `${records.map((one) => JSON.stringify(one)).join('\n')}\nnot json\n`;
    const run = await send(alice, 'orders', 'application/x-ndjson', `${JSON.stringify(good)}\n${lines}`);
    assert.equal(run.counts.rejected, 4);
    const groups = `/v1/dead-letters?run=${run.id}&groupBy=code,path`;
    const counted = (await got<{ groups: { by: object; letters: number }[] }>(bob, groups)).groups;
    assert.equal(
      counted.reduce((sum, { letters }) => sum + letters, 0),
      4,
    );
    const request = { filter: { run: run.id }, rule: { set: { channel: 'web' } } };
    for (const dryRun of [true, false]) {
      const response = await alice('/v1/dead-letters/repair', sends('POST', { ...request, dryRun }));
      const { repaired, untouched, failing } = (await response.json()) as {
        repaired: number;
        untouched: number;
        failing: { path: string; letters: number }[];
      };
      assert.deepEqual(
        [response.status, repaired, untouched, failing.map(({ path, letters }) => [path, letters])],
        [200, 2, 1, [['order_id', 1]]],
      );
    }
    const redriven = await alice('/v1/dead-letters/redrive', sends('POST', { filter: { run: run.id } }));
    const redrive = (await redriven.json()) as { id: string };
    await untilEnded(alice, redrive.id);
    const ended = await got<{ state: string; counts: Record<string, number> }>(
      alice,
      `/v1/runs/${redrive.id}`,
    );
    assert.deepEqual([ended.state, ended.counts.stored, ended.counts.rejected], ['completed', 2, 2]);
    const open = `/v1/dead-letters?run=${run.id}&state=open`;
    const left = (await got<{ items: Letter[] }>(bob, open)).items;
    assert.deepEqual(
      left.map(({ attempt, redrive: by }) => [attempt, by]),
      [
        [2, redrive.id],
        [2, redrive.id],
      ],
    );
  });

  it('retries a failed run from its pinned input, under the grant of the caller', async () => {
    const run = await send(alice, 'orders', 'application/x-ndjson', orders);
    const path = `/v1/runs/${run.id}/retry`;
    const early = await alice(path, { method: 'POST' });
    assert.deepEqual([early.status, ((await early.json()) as { code: string }).code], [409, 'RunNotFailed']);
    // As if it had failed before its first batch was stored.
    await database.query('DELETE FROM waybill.ledger_slot WHERE run_id = $1', [run.id]);
    await database.query('DELETE FROM waybill.ledger WHERE run_id = $1', [run.id]);
    await database.query(`UPDATE waybill.run SET state = 'failed' WHERE id = $1`, [run.id]);
    assert.equal((await bob(path, { method: 'POST' })).status, 403, 'a steward triggers nothing');
    const response = await alice(path, { method: 'POST' });
    const retried = (await response.json()) as { id: string };
    assert.equal(response.status, 202, JSON.stringify(retried));
    const again = await alice(path, { method: 'POST' });
    assert.equal(((await again.json()) as { id: string }).id, retried.id);
    await untilEnded(alice, retried.id);
    const ended = await got<{ state: string; counts: Record<string, number> }>(
      alice,
      `/v1/runs/${retried.id}`,
    );
    const { read, emitted, unchanged, deduplicated, stored } = ended.counts;
    assert.deepEqual([ended.state, read, stored], ['completed', run.counts.read, 0]);
    assert.equal(unchanged! + deduplicated!, emitted);
  });

  it('does what docs/dead-letters.md shows', async () => {
    const good = orders.toString().split('\n')[0]!;
    const order = JSON.parse(good) as { order_id: string };
    const text = good.replace(order.order_id, 'wrong');
    const run = await send(alice, 'orders', 'application/x-ndjson', `${text}\n${good}\n`);
    const unaddressed = '/v1/runs?unaddressed=true';
    const { items } = await got<{ items: Letter[] }>(bob, `/v1/dead-letters?run=${run.id}`);
    assert.equal((await got<{ items: { id: string }[] }>(bob, unaddressed)).items[0]!.id, run.id);
    const record = JSON.stringify({ ...order, order_id: 'ord_repaired0002' });
    const page = readFileSync('docs/dead-letters.md', 'utf8');
    const commands = [...page.matchAll(/^npx waybill (.+)$/gm)].map(([, command]) => command!);
    assert.equal(commands.length, 9);
    for (const command of commands) {
      const args = command
        .split(' ')
        .map((arg) => ({ $RUN: run.id, $LETTER: items[0]!.id, '"$RECORD"': record })[arg] ?? arg);
      const { code, stdout, stderr } = await runWaybill(args, { WAYBILL_HOME: stack.home });
      assert.equal(code, 0, `${command}: ${stdout} ${stderr}`);
    }
    assert.equal((await rowsOf(`SELECT FROM orders WHERE order_id = 'ord_repaired0002'`)).length, 1);
    const left = (await got<{ items: { id: string }[] }>(bob, unaddressed)).items;
    assert.ok(!left.some(({ id }) => id === run.id), 'its one letter is resolved');
    const { deadLetters } = await got<{ deadLetters: Record<string, number> }>(bob, `/v1/runs/${run.id}`);
    assert.deepEqual([deadLetters.open, deadLetters.resolved], [0, 1]);
  });

  it('keeps the rejected records of a run that an approver rejects, and stores them by a redrive that is approved', async () => {
    const [header, first] = birdstrikes.toString().split(/\r?\n/);
    const cells = first!.split(',');
    const broken = [...cells.slice(0, 3), 'never', ...cells.slice(4)].join(',');
    const response = await alice('/v1/pipelines/birdstrikes/runs', {
      method: 'POST',
      headers: { 'content-type': 'text/csv' },
      body: `${header}\n${first}\n${broken}\n`,
    });
    const { id } = (await response.json()) as { id: string };
    const { links } = await untilItWaits(bob, id);
    const approval = new URL(links.approval!).pathname;
    const shown = await got<{ digest: string; rejections: Letter[] }>(bob, approval);
    assert.deepEqual(
      shown.rejections.map(({ line, code }) => [line, code]),
      [[3, 'SchemaMismatch']],
    );
    const decided = await bob(
      `${approval}/decisions`,
      sends('POST', { decision: 'reject', digest: shown.digest }),
    );
    assert.equal(decided.status, 202);
    await untilEnded(bob, id);
    const [letter] = (await got<{ items: Letter[] }>(bob, `/v1/dead-letters?run=${id}&state=open`)).items;
    const path = `/v1/dead-letters/${letter!.id}`;
    const raw = first!.replace(cells[0]!, 'REPAIRED FIELD');
    const kept = await bob(path, sends('PATCH', { raw }));
    assert.equal(kept.status, 200, await kept.text());
    const redriven = await alice('/v1/dead-letters/redrive', sends('POST', { filter: { run: id } }));
    const redrive = (await redriven.json()) as { id: string };
    assert.equal(redriven.status, 202, JSON.stringify(redrive));
    await approveRun(bob, redrive.id);
    await untilEnded(bob, redrive.id);
    assert.equal((await got<Letter>(bob, path)).state, 'resolved');
    assert.equal((await rowsOf(`SELECT FROM birdstrikes WHERE airport = 'REPAIRED FIELD'`)).length, 1);
  });

  it('stores every row of an upload once while its API is killed twice', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-acme-'));
    try {
      const file = join(folder, 'orders.ndjson');
      const expected = await generateOrders(file, 60_000);
      const bytes = await readFile(file);
      const { issuerUrl, apiUrl } = stack.info();
      const client = createWaybillClient({
        baseUrl: apiUrl,
        token: async () => (await obtainToken(issuerUrl, 'alice')).token,
      });
      const starts: number[] = [];
      let begun = '';
      const durable = async () => {
        const { headers } = await alice(`/v1/runs/${begun}/input`, { method: 'HEAD' });
        return Number(headers.get('upload-offset')) > 0;
      };
      const run = await client.uploadResumable(
        'orders',
        {
          sizeBytes: bytes.length,
          async *open(from) {
            const kills = starts.push(from);
            const end = kills === 2 ? bytes.length - 65_536 : from + Math.random() * (bytes.length - from);
            for (let at = from; at < bytes.length; at += 65_536) {
              if (kills <= 2 && at >= end) {
                // By now a batch has arrived as a whole.
                if (kills === 2) await until('a batch is durable', durable);
                process.kill(await until('the API is there', () => stack.pid('api')), 'SIGKILL');
                throw new Error('the connection is broken');
              }
              yield bytes.subarray(at, at + 65_536);
            }
          },
        },
        { onRun: ({ id }) => (begun = id), patienceMs: 120_000 },
      );
      await untilEnded(alice, run.id);
      const { state, counts } = (await (await alice(`/v1/runs/${run.id}`)).json()) as {
        state: string;
        counts: Record<string, number>;
      };
      assert.equal(state, 'completed');
      for (const name of ['read', 'passed', 'filtered', 'rejected', 'emitted'])
        assert.equal(counts[name], expected[name], `${name}: ${starts.join(' ')}`);
      assert.equal(starts.length, 3);
      assert.ok(starts.at(-1)! > 0, starts.join(' '));
      const [{ stored }] = await rowsOf('SELECT count(*)::int AS stored FROM orders WHERE _run = $1', [
        run.id,
      ]);
      assert.equal(stored, counts.stored);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  describe('docs/upload-with-curl.md and docs/changing-a-pipeline.md', () => {
    const blocksOf = (page: string) =>
      [...readFileSync(page, 'utf8').matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block!);
    const npx = `npx() { shift; "${process.execPath}" cli/bin.js "$@"; }`;
    const shell = async (text: string) => {
      const { code, stdout, stderr } = await startCommand('sh', ['-e', '-c', `${npx}\n${text}`], {
        WAYBILL_HOME: stack.home,
      }).ended;
      assert.equal(code, 0, stderr);
      return stdout;
    };

    it('start a run by each curl command', async () => {
      const [settings, ...commands] = blocksOf('docs/upload-with-curl.md');
      const prefix = settings!.replace('http://127.0.0.1:8080', stack.info().apiUrl);
      const answers: { id?: string; items?: { pipeline: string }[] }[] = [];
      for (const command of commands) answers.push(JSON.parse(await shell(`${prefix}\n${command}`)));
      assert.deepEqual(
        answers.map(
          ({ id, items }) => id?.slice(0, id.indexOf('-')) ?? items?.map(({ pipeline }) => pipeline),
        ),
        ['orders', 'orders', 'birdstrikes', 'orders', 'countries', ['orders']],
        JSON.stringify(answers),
      );
    });

    it('show the plan of a project', async () => {
      for (const command of blocksOf('docs/changing-a-pipeline.md'))
        assert.notEqual(await shell(command), '');
    });
  });

  describe('docs/webhooks.md', () => followWebhooksPage(() => ({ stack, port })));
});
