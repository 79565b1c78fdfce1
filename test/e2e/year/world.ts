import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import pg from 'pg';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { people } from '../../../cli/embedded/people.ts';
import { loadProject } from '../../../engine/project/loadProject.ts';
import { startApi } from '../../api/startApi.ts';
import { startPostgresForTest } from '../../support/stack.ts';
import { until } from '../../support/until.ts';
import { takeClocks } from './clocks.ts';
import { startOwnWorker } from './ownWorker.ts';
import { standInForSchedule } from './standInSchedule.ts';

const taskQueue = 'waybill';
const project = fileURLToPath(new URL('project', import.meta.url));

/** Those of the embedded stack, and the lead, who may decide once those on duty have not. */
const staff = {
  alice: people.alice!,
  bob: { ...people.bob!, roles: ['data-steward', 'duty'] },
  erin: { ...people.erin!, roles: ['data-steward', 'duty'] },
  frank: { subject: 'frank', kind: 'person', tenant: 'acme', roles: ['data-steward', 'lead'] },
  carol: people.carol!,
} as const;

export type World = Awaited<ReturnType<typeof startWorld>>;

/** The API and a worker, unchanged, around a Temporal server with a clock that a test moves; theirs move with it. */
export async function startWorld(
  temporal: TestWorkflowEnvironment,
  { schedule: id, startMs, timesMs }: { schedule: string; startMs: number; timesMs: readonly number[] },
) {
  const postgres = await startPostgresForTest();
  const database = new pg.Client({ connectionString: postgres.superuserUrl });
  await database.connect();
  const clocks = await takeClocks(database);
  await database.query(nothingToRelay);
  await putForward(startMs);

  const schedule = await standInForSchedule(temporal, { id, timesMs, taskQueue });
  const definitions = await loadProject(project);
  await applySinks(
    postgres.migratorUrl,
    definitions.list().map(({ manifest }) => manifest),
  );
  const change = () => ({ definitions, temporalSchedules: schedule.temporalSchedules });
  const api = await startApi({ database: postgres, change });
  const worker = await startOwnWorker(api, { project, temporalAddress: temporal.address, taskQueue });
  const client = new Client({ connection: temporal.connection });

  async function putForward(toMs: number): Promise<void> {
    await clocks.putForward(toMs);
    const leftMs = toMs - (await temporal.currentTimeMs());
    if (leftMs > 0) await temporal.sleep(leftMs);
  }

  /** When time next brings something to an approval: reminds, escalates or ends. */
  async function nextDueMs(): Promise<number> {
    const { rows } = await database.query(
      `SELECT ceil(extract(epoch FROM min(least(remind_at, expires_at))) * 1000)::float8 AS ms
       FROM waybill.approval WHERE state = 'pending'`,
    );
    return rows[0].ms ?? Number.POSITIVE_INFINITY;
  }

  return {
    client,
    roots: api.roots,
    nowMs: clocks.nowMs,
    startFiring: schedule.start,
    rows: async <T>(text: string, values: unknown[] = []) => (await database.query(text, values)).rows as T[],

    /**
     * Goes on to a moment, and stops wherever something is due: the clock of the database decides what it brings, so that has to show
     * its time, and no later one, when Temporal wakes the run.
     */
    async goOnTo(toMs: number): Promise<void> {
      for (;;) {
        const dueMs = await nextDueMs();
        if (dueMs + wakingMs > toMs) return putForward(toMs);
        await putForward(dueMs + wakingMs);
        await until('what is due is noticed', async () => (await nextDueMs()) > dueMs);
      }
    },

    /** With a fresh token. */
    async ask<T>(who: keyof typeof staff, method: string, path: string, body?: object): Promise<T> {
      const { subject, ...claims } = staff[who];
      const response = await api.call(path, {
        method,
        as: await api.issuer.token({ sub: subject, ...claims }),
        ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      });
      const text = await response.text();
      assert.ok(response.ok, `${who}: ${method} ${path}: ${response.status} ${text}`);
      return (text ? JSON.parse(text) : undefined) as T;
    },

    /** Whether the right of a principal is revoked, to the knowledge of the API and of the worker. */
    isRevoked: (principal: string): boolean[] =>
      [api.ports.revocations, worker.revocations].map((known) => {
        const credential = { tenant: 'acme', principals: [principal], issuedAtS: clocks.nowMs() / 1000 };
        return known.find(credential) !== undefined;
      }),

    async openWorkflows(): Promise<unknown[]> {
      const startTimeFilter = { earliestTime: { seconds: 0 as never } };
      const asked = { namespace: 'default', maximumPageSize: 10, startTimeFilter };
      const { executions } = await client.workflowService.listOpenWorkflowExecutions(asked);
      return executions.map(({ execution }) => execution?.workflowId);
    },

    async stop(): Promise<void> {
      await worker.stop();
      await database.end();
      await api.stop();
      clocks.restore();
    },
  };
}

/** A run continues a moment after something is due, by the time that its last step took. */
const wakingMs = 2_000;

/** The server has no schedules, so the relay has none to bring there. */
const nothingToRelay = `
  CREATE FUNCTION simulated.never_due() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN NEW.due_at := ''infinity''; RETURN NEW; END';
  CREATE TRIGGER never_due BEFORE INSERT OR UPDATE ON waybill.schedule
    FOR EACH ROW EXECUTE FUNCTION simulated.never_due();`;
