import { WaybillError } from '../../domain/errors.ts';
import type { Attempt } from '../../domain/ports/firings.ts';
import type { Run, RunState } from '../../domain/runs/run.ts';
import { describeTerms } from '../../domain/schedules/delegation.ts';
import type { Schedule } from '../../domain/schedules/schedule.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { acceptRun } from '../runs/acceptRun.ts';
import { authorizeRun } from '../runs/authorizeRun.ts';
import { sha256 } from '../sha256.ts';
import { checkRevision, envelopeOf, pipelineOf } from './scheduleDraft.ts';

type Ports = Parameters<typeof acceptRun>[0] & Parameters<typeof authorizeRun>[0];

/**
 * Begins a run as the schedule would, now and in the caller’s name. The times of the schedule are left as they are. Throws
 * `ScheduleChanged` where the caller was shown another revision, and `ConsentRequired` while the owner has not consented to it.
 */
export async function runSchedule(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  { revision, idempotencyKey }: { revision: number; idempotencyKey: string | undefined },
): Promise<Run> {
  checkShown(authorization.schedule!, revision);
  await authorizeRun(ports, { ...authorization, pipeline: pipelineOf(authorization) });
  const key = idempotencyKey && `run/${authorization.schedule!.id}/${sha256(idempotencyKey)}`;
  // To the second, as times of schedules are.
  const at = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
  return begin(ports, options, authorization, key, at, 'run');
}

/** No caller runs terms that they have not seen, or that the owner has still to consent to. */
function checkShown(schedule: Schedule, revision: number): void {
  checkRevision(schedule, revision);
  if (schedule.reason?.code === 'ConsentRequired') throw new WaybillError('ConsentRequired');
}

export const backfillMax = 100;

export interface BackfillRequest {
  /** Which the caller was shown. */
  revision: number;
  /** RFC 3339, both inclusive. */
  from: string;
  to: string;
  mode: BackfillMode;
  /** Only says which times. */
  dryRun: boolean;
}

/** `missing`: times without a run; `failed`: times with a last run that failed or was cancelled. */
type BackfillMode = 'missing' | 'failed' | 'all';

export interface Backfill {
  items: { at: string; run: string | null }[];
  /** There are more times in the range than these. */
  more: boolean;
  /** How many times the mode leaves out, by the state of their last run. */
  leftOut: Partial<Record<RunState, number>>;
  /** How many times there are on which Temporal and Waybill disagree, since their zone data differ. */
  disputed: number;
}

/** Begins runs for times that have passed, in the caller’s name: at most 100, oldest first. Repeated, the same runs are the answer. Throws as `runSchedule`. */
export async function backfillSchedule(
  ports: Ports & Pick<ApplicationPorts, 'temporalSchedules' | 'firings'>,
  options: ApplicationOptions,
  authorization: Authorization,
  { revision, from, to, mode, dryRun }: BackfillRequest,
): Promise<Backfill> {
  checkShown(authorization.schedule!, revision);
  await authorizeRun(ports, { ...authorization, pipeline: pipelineOf(authorization) });
  const schedule = authorization.schedule!;
  const toMs = Math.min(Date.parse(to), Date.now());
  const range = { fromMs: Date.parse(from), toMs };
  const reader = { tenant: schedule.tenant, signal: authorization.signal };
  const { timesMs, complete, disputedMs } = await ports.temporalSchedules.times(
    schedule.terms,
    range,
    reader,
  );
  const attempts = await ports.firings.listAttempts(schedule.tenant, schedule.id, {
    from,
    to: new Date(toMs).toISOString(),
  });
  const times = timesMs
    .map((ms) => new Date(ms).toISOString())
    .map((at) => ({ at, last: attempts.findLast(({ nominalAt }) => nominalAt === at) }));
  const wanted = times.filter(({ last }) => isWanted(mode, last));
  const others = Map.groupBy(
    times.flatMap(({ last }) => (last && !isWanted(mode, last) ? [last.state] : [])),
    (state) => state,
  );
  const items: Backfill['items'] = [];
  for (const { at, last } of wanted.slice(0, backfillMax)) {
    const run = dryRun ? null : await fill(ports, options, authorization, { at, mode, last });
    items.push({ at, run: run?.id ?? null });
  }
  return {
    items,
    more: !complete || wanted.length > backfillMax,
    leftOut: Object.fromEntries([...others].map(([state, runs]) => [state, runs.length])),
    disputed: disputedMs.length,
  };
}

function isWanted(mode: BackfillMode, last: Attempt | undefined): boolean {
  if (mode === 'missing') return !last;
  return mode === 'all' || last?.state === 'failed' || last?.state === 'cancelled';
}

/** One run for one time: a repeated request begins no second one, unless the first has failed since. */
async function fill(
  ports: Ports & Pick<ApplicationPorts, 'firings'>,
  options: ApplicationOptions,
  authorization: Authorization,
  { at, mode, last }: { at: string; mode: BackfillMode; last: Attempt | undefined },
): Promise<Run> {
  const schedule = authorization.schedule!;
  const instead = mode === 'failed' ? last!.runId : mode;
  const key = `backfill/${schedule.id}/${sha256(JSON.stringify([at, instead, describeTerms(schedule)]))}`;
  const run = await begin(ports, options, authorization, key, at, 'backfill');
  await ports.firings.recordBackfill(schedule.tenant, schedule.id, at, run.id);
  return run;
}

async function begin(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  idempotencyKey: string | undefined,
  at: string,
  way: 'run' | 'backfill',
): Promise<Run> {
  const schedule = authorization.schedule!;
  const bodyDigest = sha256(
    JSON.stringify([way, schedule.id, way === 'backfill' ? at : '', describeTerms(schedule)]),
  );
  const caller = { ...authorization, pipeline: pipelineOf(authorization) };
  const envelope = envelopeOf(schedule, at);
  const { run } = await acceptRun(ports, options, caller, {
    kind: 'envelope',
    envelope,
    bodyDigest,
    dataFollows: false,
    idempotencyKey,
    backfill: way === 'backfill',
  });
  return run;
}
