import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import { describeBinding } from '../../domain/contracts/contract.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { RunState } from '../../domain/runs/run.ts';
import { sql } from '../../domain/sql.ts';

/** What a deployment touches of one pipeline: what was begun or consented to with other code of it. */
export interface Touched {
  pipeline: string;
  /** Whether the project has it still. */
  served: boolean;
  /** Open runs that were accepted with another definition. */
  runs: Partial<Record<RunState, number>>;
  schedules: { id: string; tenant: string; owner: string; becomes: 'other code' | 'blocked' }[];
}

/**
 * The open runs and the active schedules, of all tenants, that a deployment of these definitions touches, as the role that owns the tables.
 * None in a database of an older version.
 */
export async function readTouched(
  client: Pick<ClientBase, 'query'>,
  pipelines: readonly LoadedPipeline[],
): Promise<Touched[]> {
  const { rows: tables } = await client.query<{ exists: boolean }>(
    `SELECT to_regclass('waybill.deployment') IS NOT NULL AS exists`,
  );
  if (!tables[0]!.exists) return [];
  const digests = pipelines.map(({ digest }) => digest);
  const runs = await client.query<{ pipeline: string; state: RunState; runs: number }>(
    sql(
      `SELECT pipeline, state, count(*)::integer AS runs FROM waybill.run
       WHERE ended_at IS NULL AND definition_digest <> ALL(:digests) GROUP BY pipeline, state ORDER BY pipeline, state`,
      { digests },
    ),
  );
  const schedules = await client.query<ScheduleRow>(
    `SELECT s.pipeline, s.id, s.tenant, s.owner ->> 'subject' AS owner, d.definition_digest AS "definitionDigest", d.bound_digest AS "boundDigest"
     FROM waybill.schedule s JOIN waybill.delegation d ON d.tenant = s.tenant AND d.id = s.delegation_id
     WHERE s.state = 'active' ORDER BY s.tenant, s.id`,
  );
  const served = new Map(pipelines.map((one) => [one.manifest.id, one]));
  const touched = new Map<string, Touched>();
  const of = (pipeline: string) => {
    const known = touched.get(pipeline) ?? {
      pipeline,
      served: served.has(pipeline),
      runs: {},
      schedules: [],
    };
    touched.set(pipeline, known);
    return known;
  };
  for (const { pipeline, state, runs: n } of runs.rows) of(pipeline).runs[state] = n;
  for (const { pipeline, id, tenant, owner, ...bound } of schedules.rows) {
    const becomes = becomesOf(bound, served.get(pipeline));
    if (becomes) of(pipeline).schedules.push({ id, tenant, owner, becomes });
  }
  return [...touched.values()];
}

interface ScheduleRow {
  pipeline: string;
  id: string;
  tenant: string;
  owner: string;
  definitionDigest: string;
  boundDigest: string | null;
}

/** As `consentFailure` decides when the schedule is due next. */
function becomesOf(
  { definitionDigest, boundDigest }: Pick<ScheduleRow, 'definitionDigest' | 'boundDigest'>,
  loaded: LoadedPipeline | undefined,
): 'other code' | 'blocked' | undefined {
  if (loaded?.digest === definitionDigest) return undefined;
  if (!loaded || boundDigest === null) return 'blocked';
  const now = createHash('sha256').update(describeBinding(loaded)).digest('hex');
  return now === boundDigest ? 'other code' : 'blocked';
}
