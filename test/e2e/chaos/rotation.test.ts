import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { benchProject } from '../../../bench/project.ts';
import { writeAtomically } from '../../../cli/writeAtomically.ts';
import { type DevStack, startDevStack } from '../../support/devStack.ts';

const roles = ['waybill_api', 'waybill_worker', 'waybill_relay'] as const;
type Role = (typeof roles)[number];

describe('rotating the passwords of the database while runs come in', () => {
  let stack: DevStack;
  let database: pg.Client;
  before(async () => {
    stack = await startDevStack({ project: benchProject });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
  });
  after(async () => {
    await database?.end();
    await stack?.stop();
  });

  /**
   * Between server and file there is always a moment in which they differ. All connections of the role are ended in it,
   * so that every process has to connect again with the wrong password, and go on with the right one.
   */
  async function rotate(role: Role, first: 'server' | 'file'): Promise<void> {
    const password = randomBytes(24).toString('base64url');
    const onServer = () => database.query(`ALTER ROLE ${role} PASSWORD '${password}'`);
    const inFile = async () => writeAtomically(join(stack.home, 'keys/database', role), `${password}\n`);
    const [one, other] = first === 'server' ? [onServer, inFile] : [inFile, onServer];
    await one();
    await database.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1', [role]);
    await pause(400);
    await other();
  }

  /** Whether the role is connected again. */
  async function untilBack(role: Role): Promise<void> {
    for (const until = performance.now() + 180_000; performance.now() < until; await pause(50)) {
      const { rowCount } = await database.query('SELECT FROM pg_stat_activity WHERE usename = $1', [role]);
      if (rowCount) return;
    }
    assert.fail(`${role} did not come back`);
  }

  it('finds them in no environment, no command line and no log', {
    skip: process.platform !== 'linux',
  }, () => {
    const secrets = roles.map((role) => readFileSync(join(stack.home, 'keys/database', role), 'utf8'));
    const places = stack
      .info()
      .processes.flatMap(({ pid }) => [`/proc/${pid}/environ`, `/proc/${pid}/cmdline`]);
    const logs = readdirSync(join(stack.home, 'logs')).map((name) => join(stack.home, 'logs', name));
    for (const place of [...places, ...logs]) {
      const text = readFileSync(place, 'latin1');
      for (const secret of secrets) assert.ok(!text.includes(secret), place);
    }
  });

  it('fails no run, ends no process, and refuses only what the caller sends again', async (t) => {
    const call = await stack.as('alice');
    const pids = () => stack.info().processes.map(({ name, pid }) => `${name} ${pid}`);
    const processes = pids();
    const runIds: string[] = [];
    const refused: string[] = [];
    let rotating = true;

    /** Like a caller that means it: the same key until there is an answer. */
    async function trigger(): Promise<void> {
      const id = randomUUID();
      for (;;) {
        const response = await call('/v1/pipelines/pings/runs', {
          method: 'POST',
          body: JSON.stringify({ records: [{ id, amount: 1 }] }),
          headers: { 'content-type': 'application/json', 'idempotency-key': id },
        });
        const answer = (await response.json()) as { id: string; code: string };
        if (response.status === 202) return void runIds.push(answer.id);
        refused.push(`${response.status} ${answer.code}`);
        await pause(100);
      }
    }
    // One run that is in the middle of its steps all the while.
    const rows = 150_000;
    const lines = Array.from({ length: rows }, () => `${JSON.stringify({ id: randomUUID(), amount: 1 })}\n`);
    const long = await call('/v1/pipelines/pings/runs', {
      method: 'POST',
      body: lines.join(''),
      headers: { 'content-type': 'application/x-ndjson' },
    });
    runIds.push(((await long.json()) as { id: string }).id);

    const load = Promise.all(
      Array.from({ length: 2 }, async () => {
        while (rotating) {
          await trigger();
          await pause(150);
        }
      }),
    );
    for (const first of ['server', 'file'] as const) {
      for (const role of roles) {
        await rotate(role, first);
        await untilBack(role);
        await pause(1_000);
      }
    }
    rotating = false;
    await load;

    const states = async () =>
      (
        await database.query<{ state: string; n: number }>(
          'SELECT state, count(*)::int AS n FROM waybill.run WHERE id = ANY($1) GROUP BY 1',
          [runIds],
        )
      ).rows;
    const all = [{ state: 'completed', n: new Set(runIds).size }];
    for (const until = performance.now() + 240_000; performance.now() < until; await pause(200)) {
      const now = await states();
      if (now.every(({ state }) => state === 'completed')) break;
    }
    assert.deepEqual(await states(), all);
    assert.deepEqual(
      [...new Set(refused)].filter((what) => what !== '503 DatabaseUnavailable'),
      [],
    );
    assert.deepEqual(pids(), processes);
    const stored = await database.query('SELECT count(*)::int AS n FROM public.pings');
    assert.equal(stored.rows[0].n, runIds.length - 1 + rows);
    t.diagnostic(`${runIds.length} runs completed; ${refused.length} requests answered 503 and repeated`);
  });
});
