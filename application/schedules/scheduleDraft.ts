import { auditOf } from '../../domain/audit.ts';
import { type ErrorCode, errors, WaybillError } from '../../domain/errors.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { GivenDelegation, ScheduleDraft } from '../../domain/ports/schedules.ts';
import { type Principal, requesterOf } from '../../domain/principal.ts';
import { parametersAt, type Schedule, type ScheduleTerms } from '../../domain/schedules/schedule.ts';
import { isPulled } from '../../domain/sources/source.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { pipelineNotFound } from '../readable.ts';
import { checkEnvelope, type Envelope } from '../runs/acceptEnvelope.ts';
import { authorizeRun } from '../runs/authorizeRun.ts';
import { checkTimes } from './nextTimes.ts';

/** Under which policies a change was allowed. */
export type Allowed = Pick<Authorization, 'policies' | 'policyDigest'>;

/** `notice`: what the caller should know of what was saved, such as that the consent ends before the first time. */
export interface SavedSchedule {
  schedule: Schedule;
  notice: string | null;
}

export type TermsPorts = Pick<
  ApplicationPorts,
  'policy' | 'auditLog' | 'inputs' | 'checkCallback' | 'temporalSchedules'
>;

export const active = { state: 'active', reason: null, pausedBy: null } as const;

export function pausedBy(principal: Principal) {
  return { state: 'paused', reason: null, pausedBy: requesterOf(principal) } as const;
}

export function blockedBy(code: ErrorCode) {
  return { state: 'blocked', reason: { code, message: errors[code].message }, pausedBy: null } as const;
}

export function draftOf(schedule: Schedule): ScheduleDraft {
  const { tenant, id, pipeline, definition, terms, note, declared, owner, state, reason, pausedBy } =
    schedule;
  const said = { definition, terms, note, declared };
  return { tenant, id, pipeline, ...said, owner, state, reason, pausedBy, fresh: false };
}

export function factsOf({
  manifest: { id, labels, source, sink },
}: LoadedPipeline): ScheduleDraft['definition'] {
  return { id, labels, source: { kind: source.kind }, sink: { kind: sink.kind } };
}

/** The pipeline of a schedule; throws `PipelineNotFound` where it is served no more. */
export function pipelineOf({ pipeline }: Pick<Authorization, 'pipeline'>): LoadedPipeline {
  if (pipeline) return pipeline;
  throw new WaybillError('PipelineNotFound');
}

/** Rejects a change of a schedule that has changed since the caller was shown it. */
export function checkRevision(schedule: Pick<Schedule, 'revision'>, shown: number | undefined): void {
  if (shown !== undefined && shown !== schedule.revision) throw new WaybillError('ScheduleChanged');
}

/** What a run of the schedule for one time would be asked for by HTTP. */
export function envelopeOf({ terms }: Pick<Schedule, 'terms'>, at: string): Envelope {
  const { source, callback } = terms;
  return { parameters: parametersAt(terms, at), ...(source && { source }), ...(callback && { callback }) };
}

/** Whether the caller may save a schedule of the pipeline of this name, and it would run. */
export async function checkDraft(
  ports: TermsPorts & Pick<ApplicationPorts, 'definitions'>,
  authorization: Authorization,
  { pipeline: id, terms, lifetimeS }: { pipeline: string; terms: ScheduleTerms; lifetimeS?: number },
): Promise<{ pipeline: LoadedPipeline; allowed: Allowed & { notice: string | null } }> {
  const pipeline = ports.definitions.find(id);
  if (!pipeline) throw pipelineNotFound(ports, authorization.principal, id, '/pipeline');
  return { pipeline, allowed: await checkTerms(ports, authorization, pipeline, terms, lifetimeS) };
}

/**
 * Rejects now what a firing would be rejected for; resolves with the policies that allow it. Throws `Forbidden`, `SourceInvalid`,
 * `SourceRefused`, `ParametersInvalid`, `CallbackRefused`, and `ScheduleInvalid` where `checkTimes` does.
 */
export async function checkTerms(
  ports: TermsPorts,
  authorization: Authorization,
  pipeline: LoadedPipeline,
  terms: ScheduleTerms,
  lifetimeS?: number,
): Promise<Allowed & { notice: string | null }> {
  const decisions = await authorizeRun(ports, { ...authorization, pipeline }, ['schedule']);
  checkReads(pipeline);
  const nowMs = Date.now();
  await checkEnvelope(ports, pipeline, envelopeOf({ terms }, new Date(nowMs).toISOString()));
  const notice = await checkTimes(ports, authorization, terms, lifetimeS);
  return {
    policies: [...new Set(decisions.flatMap(({ policies }) => policies))],
    policyDigest: decisions[0]!.digest,
    notice,
  };
}

/** Where a caller sends the data, there is nothing to read when the time comes. Throws `SourceInvalid`. */
function checkReads({ manifest: { source } }: LoadedPipeline): void {
  if (isPulled(source)) return;
  throw new WaybillError('SourceInvalid', {
    issues: [
      {
        path: '/pipeline',
        message:
          'Its data comes with each request, so that a schedule has none. Schedule a pipeline that reads a file or a URL.',
      },
    ],
  });
}

/** The audit event of a change of a schedule. */
export function changeOf(
  action: string,
  { principal, txn }: Pick<Authorization, 'principal' | 'txn'>,
  { id, pipeline, owner, state }: ScheduleDraft,
  consented: GivenDelegation | null,
  { policies, policyDigest }: Allowed,
) {
  const delegation = consented && { delegation: consented.id, expiresAtS: consented.expiresAtS };
  return auditOf({ principal, runId: null, txn }, action, {
    schedule: id,
    pipeline,
    owner: owner.id,
    state,
    ...delegation,
    policies,
    policyDigest,
  });
}
