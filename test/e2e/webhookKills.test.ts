import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { startReceiver } from '../support/webhookReceiver.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('kill -9 of a worker', () => {
  let stack: DevStack;
  let database: pg.Client;
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  const workers: ChildProcess[] = [];

  before(async () => {
    receiver = await startReceiver();
    stack = await startDevStack({
      project: join(root, 'test/support/project'),
      workers: 0,
      env: { WAYBILL_CALLBACK_ALLOW: receiver.host },
    });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
  });
  after(async () => {
    for (const worker of workers) worker.kill('SIGKILL');
    await database?.end();
    await stack?.stop();
    await receiver?.stop();
  });

  async function startWorker(entry: string): Promise<ChildProcess> {
    const settings = JSON.parse(readFileSync(join(stack.home, 'keys/worker.json'), 'utf8'));
    const worker = fork(join(root, entry), {
      env: { PATH: process.env.PATH, ...settings },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    workers.push(worker);
    await once(worker, 'message');
    return worker;
  }

  async function kill(worker: ChildProcess): Promise<void> {
    if (worker.signalCode !== null) return;
    const gone = once(worker, 'exit');
    worker.kill('SIGKILL');
    await gone;
  }

  async function trigger(): Promise<string> {
    const alice = await stack.as('alice');
    const response = await alice('/v1/pipelines/readings/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records: [{ sensor: 'a', value: 1 }], callback: { url: receiver.url } }),
    });
    return ((await response.json()) as { id: string }).id;
  }

  async function stateOf(runId: string): Promise<{ state: string; attempts: number } | undefined> {
    const { rows } = await database.query('SELECT state, attempts FROM waybill.delivery WHERE run_id = $1', [
      runId,
    ]);
    return rows[0];
  }

  it('between sending an event and writing that down sends it once more, under the same id', {
    timeout: 180_000,
  }, async () => {
    const dawdling = await startWorker('test/support/dawdlingWorkerMain.ts');
    const runId = await trigger();
    const first = await receiver.until(({ body }) => body.includes(runId));
    await kill(dawdling);
    assert.deepEqual(await stateOf(runId), { state: 'pending', attempts: 1 });

    await startWorker('workers/main.ts');
    const second = await receiver.until((got) => got !== first && got.body.includes(runId));
    assert.equal(second.headers['webhook-id'], first.headers['webhook-id']);
    assert.equal(second.body, first.body);
    while ((await stateOf(runId))?.state === 'pending')
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(await stateOf(runId), { state: 'delivered', attempts: 2 });
    assert.equal(receiver.received.filter(({ body }) => body.includes(runId)).length, 2);
  });

  it('between the end of a run and the start of its delivery loses nothing', {
    timeout: 180_000,
  }, async () => {
    // Without a relay, the event stays where the end of the run was recorded.
    for (const worker of workers.splice(0)) await kill(worker);
    const runId = await trigger();
    await database.query(`CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      NEW.start_at = now() + interval '1 hour'; RETURN NEW; END $$`);
    await database.query(
      'CREATE TRIGGER hold BEFORE INSERT ON waybill.delivery FOR EACH ROW EXECUTE FUNCTION public.hold()',
    );
    const worker = await startWorker('workers/main.ts');
    while (!(await stateOf(runId))) await new Promise((resolve) => setTimeout(resolve, 25));
    await kill(worker);
    await database.query('DROP FUNCTION public.hold CASCADE');
    await database.query('UPDATE waybill.delivery SET start_at = now() WHERE run_id = $1', [runId]);
    await startWorker('workers/main.ts');
    await receiver.until(({ body }) => body.includes(runId));
  });
});
