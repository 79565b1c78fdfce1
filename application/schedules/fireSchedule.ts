import type { AuditEvent } from '../../domain/audit.ts';
import { type ErrorCode, errors, WaybillError } from '../../domain/errors.ts';
import type { Begun, NewFiring, RecordedFiring } from '../../domain/ports/firings.ts';
import type { FiringAnswer } from '../../domain/ports/scheduler.ts';
import {
  type FiringExecution,
  type FiringRef,
  failedFiringCheck,
  firingWorkflow,
  isListed,
  listedWithinMs,
  type StartedLately,
} from '../../domain/schedules/firing.ts';
import { type Schedule, scheduleOf } from '../../domain/schedules/schedule.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { acceptRun } from '../runs/acceptRun.ts';
import { type ConsentPorts, consentCallback, type StandingConsent, standingConsent } from './consent.ts';
import { envelopeOf } from './scheduleDraft.ts';

type Ports = ConsentPorts &
  Pick<ApplicationPorts, 'temporalSchedules' | 'firings' | 'auditLog'> &
  Parameters<typeof acceptRun>[0];

/** What a worker, authenticated as a workload, says of an execution in Temporal. */
export interface FiringCall {
  scheduleId: string;
  execution: FiringRef;
  workload: string;
  txn: string;
}

interface Asked extends FiringCall {
  ports: Ports;
  options: ApplicationOptions;
}

type Genuine = FiringExecution & { nominalAt: string };

/**
 * Whether an execution in Temporal is a firing of a schedule that is due, and if so the run that it begins in the name of the
 * schedule’s owner. Nothing that the worker says is believed: Temporal is asked what the execution is and what it has of the
 * schedule, the record what the schedule is. Then the owner’s consent is checked as it holds now. Where that fails, the schedule is
 * blocked and no run begins.
 *
 * An execution that asks again gets the same answer.
 */
export async function fireSchedule(
  ports: Ports,
  options: ApplicationOptions,
  call: FiringCall,
): Promise<FiringAnswer> {
  const asked = { ...call, ports, options };
  const execution = await asked.ports.temporalSchedules.execution(asked.execution);
  const place = execution && placeOf(execution);
  if (!isGenuine(execution) || place?.id !== asked.scheduleId)
    return reject(asked, await tenantOf(asked, place), 'FiringRefused', 'execution');
  const known = await asked.ports.firings.find(place.tenant, place.id, execution.nominalAt);
  if (known) return answerKnown(asked, place.tenant, execution, known);
  const schedule = await asked.ports.schedules.find(place.tenant, place.id);
  if (!schedule) return reject(asked, null, 'ScheduleNotFound', 'schedule');
  return (await check(asked, schedule, execution)) ?? begin(asked, schedule, execution);
}

/** An activity of it asks, so it is still running. */
function isGenuine(execution: FiringExecution | undefined): execution is Genuine {
  return (
    execution !== undefined &&
    execution.workflowType === firingWorkflow &&
    execution.running &&
    execution.nominalAt !== null
  );
}

function placeOf({ scheduledBy }: FiringExecution): ReturnType<typeof scheduleOf> {
  return scheduledBy === null ? undefined : scheduleOf(scheduledBy);
}

/** A workflow that was started by hand can name any schedule; only one on record tells the tenant. */
async function tenantOf({ ports }: Asked, place: ReturnType<typeof placeOf>): Promise<string | null> {
  const schedule = place && (await ports.schedules.find(place.tenant, place.id));
  return schedule?.tenant ?? null;
}

/** Another execution that says it is of the same time is no repetition. */
async function answerKnown(
  asked: Asked,
  tenant: string,
  { firstRunId }: Genuine,
  known: RecordedFiring,
): Promise<FiringAnswer> {
  if (known.firstRunId !== firstRunId) return reject(asked, tenant, 'FiringRefused', 'repeated');
  if (known.outcome !== 'fired') return { outcome: known.outcome, code: known.code! };
  return answerOf({ tenant, ...known.begun! });
}

/** The answer where it is no firing that is due; nothing where it is. */
async function check(
  asked: Asked,
  schedule: Schedule,
  execution: Genuine,
): Promise<FiringAnswer | undefined> {
  const { temporalSchedules, schedules, firings } = asked.ports;
  const { tenant, id } = schedule;
  const nominalMs = Date.parse(execution.nominalAt);
  const range = { fromMs: nominalMs, toMs: nominalMs };
  const { timesMs, disputedMs } = await temporalSchedules.times(schedule.terms, range);
  const [known, last, hasFailed] = await Promise.all([
    temporalSchedules.describe(schedule),
    firings.last(tenant, id),
    schedule.terms.pauseOnFailure && firings.hasFailed(schedule),
  ]);
  const failed = failedFiringCheck({
    execution,
    schedule,
    nominalMs,
    nowMs: Date.now(),
    asRecorded: known?.asRecorded ?? false,
    due: timesMs.includes(nominalMs),
    disputed: disputedMs.includes(nominalMs),
    previous: last
      ? {
          nominalMs: Date.parse(last.nominalAt),
          endedMs: last.endedAt === null ? null : Date.parse(last.endedAt),
        }
      : null,
    failed: hasFailed,
  });
  if (!failed) return unlisted(asked, schedule, execution, known!.recent);
  if (failed.verdict === 'blocked') return block(asked, schedule, execution, failed.code);
  if (failed.verdict !== 'refused')
    return recorded(asked, schedule, execution, { outcome: failed.verdict, code: failed.code });
  if (failed.code === 'ScheduleDrifted') {
    const audit = auditOf(asked, tenant, 'schedule.drifted', { code: failed.code });
    // While a revision is on its way, Temporal has the one before: no one tampered with it.
    if (schedule.applied) await schedules.resync(schedule, audit);
  }
  return reject(asked, tenant, failed.code, failed.name);
}

/** An execution that was started by hand may look exactly like the firing; Temporal’s list of the schedule tells them apart. */
async function unlisted(
  asked: Asked,
  { tenant }: Schedule,
  execution: Genuine,
  recent: readonly StartedLately[],
): Promise<FiringAnswer | undefined> {
  if (isListed(execution, recent)) return undefined;
  if (Date.now() - execution.startedAtMs < listedWithinMs)
    throw new WaybillError('FiringUnavailable', { detail: 'Temporal has not listed it yet' });
  return reject(asked, tenant, 'FiringRefused', 'list');
}

async function begin(asked: Asked, schedule: Schedule, execution: Genuine): Promise<FiringAnswer> {
  const consent = await standingConsent(asked.ports, schedule);
  if ('code' in consent) return block(asked, schedule, execution, consent.code);
  if (Date.parse(execution.nominalAt) / 1000 < consent.claims.nbf)
    return reject(asked, schedule.tenant, 'FiringRefused', 'consent');
  try {
    return await accept(asked, schedule, execution, consent);
  } catch (error) {
    if (!(error instanceof WaybillError) || error.retryable) throw error;
    // What was fine when the schedule was saved is no more: a right, a source, a parameter.
    return block(
      asked,
      schedule,
      execution,
      error.code === 'PrincipalRevoked' ? 'DelegationRevoked' : error.code,
    );
  }
}

async function accept(
  asked: Asked,
  schedule: Schedule,
  execution: Genuine,
  consent: StandingConsent,
): Promise<FiringAnswer> {
  const { principal, credential, pipeline, policies, policyDigest } = consent;
  const caller = {
    pipeline,
    principal,
    credential,
    policies,
    policyDigest,
    txn: asked.txn,
    isRevoked: async () => asked.ports.revocations.find(credential) !== undefined,
  };
  const firing = { schedule: schedule.id, revision: schedule.revision, ...newFiring(execution) };
  const envelope = envelopeOf(schedule, execution.nominalAt);
  const { run, grant } = await acceptRun(asked.ports, asked.options, caller, {
    kind: 'firing',
    envelope,
    firing,
  });
  const { tenant, id: runId, requestedBy } = run;
  return answerOf({ tenant, runId, requestedBy, grant: grant!, manifest: pipeline.manifest });
}

function newFiring({ nominalAt, workflowId, firstRunId }: Genuine): NewFiring {
  return { nominalAt, execution: { workflowId, firstRunId } };
}

function answerOf({ tenant, runId, requestedBy, grant, manifest }: { tenant: string } & Begun): FiringAnswer {
  const { id, version, source, sink, approval, limits, deadlineMs } = manifest;
  const summary = `${id} for ${requestedBy.subject} (${requestedBy.kind}) of ${tenant}, by its schedule`;
  const atEnd = sink.atEnd && { sink: { atEnd: sink.atEnd } };
  const fired = { id, version, source, ...atEnd, ...(approval && { approval }), limits, deadlineMs };
  return {
    outcome: 'fired',
    run: { runId, tenant, principal: requestedBy.id, summary, grant, manifest: fired },
  };
}

async function block(
  asked: Asked,
  schedule: Schedule,
  execution: Genuine,
  code: ErrorCode,
): Promise<FiringAnswer> {
  const reason = { code, message: errors[code].message };
  const callback = consentCallback(schedule, asked.options);
  return recorded(asked, schedule, execution, { outcome: 'blocked', code }, { reason, callback });
}

async function recorded(
  asked: Asked,
  schedule: Schedule,
  execution: Genuine,
  { outcome, code }: { outcome: 'blocked' | 'missed' | 'skipped'; code: ErrorCode },
  block: Parameters<ApplicationPorts['firings']['record']>[2] = null,
): Promise<FiringAnswer> {
  const action = outcome === 'blocked' ? 'schedule.blocked' : 'schedule.not-fired';
  const { id: delegation } = schedule.delegation ?? { id: null };
  const audit = auditOf(asked, schedule.tenant, action, {
    code,
    outcome,
    nominalAt: execution.nominalAt,
    owner: schedule.owner.id,
    delegation,
  });
  const firing = { ...newFiring(execution), outcome, code };
  const stands = await asked.ports.firings.record(schedule, firing, block, audit);
  return answerKnown(asked, schedule.tenant, execution, stands);
}

async function reject(
  asked: Asked,
  tenant: string | null,
  code: ErrorCode,
  check: string,
): Promise<FiringAnswer> {
  await asked.ports.auditLog.append(auditOf(asked, tenant, 'schedule.firing-denied', { code, check }));
  return { outcome: 'refused', code };
}

/** The actor is unknown: an execution in Temporal carries no proof of who started it. */
function auditOf(
  { scheduleId, execution, workload, txn }: Asked,
  tenant: string | null,
  action: string,
  detail: AuditEvent['detail'],
): AuditEvent {
  const about = { schedule: scheduleId, workflowId: execution.workflowId, workload, ...detail };
  return { action, outcome: 'denied', tenant, actor: null, runId: null, txn, detail: about };
}
