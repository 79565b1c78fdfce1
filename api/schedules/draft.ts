import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { auditOf } from '../../domain/audit.ts';
import { parseDuration } from '../../domain/duration.ts';
import { type ErrorCode, errors, WaybillError } from '../../domain/errors.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { GivenDelegation, ScheduleDraft } from '../../domain/ports/schedules.ts';
import { type Principal, requesterOf } from '../../domain/principal.ts';
import type { Schedule, ScheduleTerms } from '../../domain/schedules/schedule.ts';
import type { Authorization } from '../gate.ts';
import type { ApiPorts } from '../ports.ts';
import { unknownPipeline } from '../readablePipelines.ts';
import { checkEnvelope } from '../trigger/envelope.ts';
import { mayRun } from '../trigger/mayRun.ts';
import { envelopeOf } from './envelope.ts';

const dayMs = 86_400_000;

export const lifetime = z
  .string()
  .refine((text) => {
    const ms = parseDuration(text);
    return ms !== undefined && ms <= 90 * dayMs;
  }, 'A duration such as 30d, of at most 90d.')
  .optional()
  .describe('How long the consent lasts; 90d at most, and by default.');

export const note = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}]{1,500}$/u, 'Up to 500 characters, without control characters.')
  .nullable();

type Allowed = Pick<Authorization, 'policies' | 'policyDigest'>;

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

export function lifetimeOf({ lifetime }: { lifetime?: string | undefined }): { lifetimeS?: number } {
  return lifetime === undefined ? {} : { lifetimeS: Math.floor(parseDuration(lifetime)! / 1000) };
}

export function loaded({ pipeline }: Authorization): LoadedPipeline {
  if (pipeline) return pipeline;
  throw new WaybillError('PipelineNotFound');
}

/** Whether somebody may save it, of a pipeline by its name, and it would run. */
export async function checkDraft(
  ports: ApiPorts,
  admission: Authorization,
  { pipeline: id, terms }: { pipeline: string; terms: ScheduleTerms },
  request: FastifyRequest,
) {
  const pipeline = ports.definitions.find(id);
  if (!pipeline) throw unknownPipeline(ports, admission.principal, id, '/pipeline');
  return { pipeline, allowed: await checkTerms(ports, admission, pipeline, terms, request) };
}

/**
 * What a firing would be refused for is refused now; resolves with what lets them. Without Temporal the times are not known, and the
 * schedule is saved all the same; once Temporal is back it says what is wrong with them.
 */
export async function checkTerms(
  ports: ApiPorts,
  admission: Authorization,
  pipeline: LoadedPipeline,
  terms: ScheduleTerms,
  request: FastifyRequest,
): Promise<Allowed> {
  const allowed = await maySchedule(ports, admission, pipeline, request);
  checkReads(pipeline);
  const nowMs = Date.now();
  await checkEnvelope(ports, pipeline, envelopeOf({ terms }, new Date(nowMs).toISOString()));
  await ports.temporalSchedules.times(terms, { fromMs: nowMs, toMs: nowMs }).catch((error) => {
    if (!(error instanceof WaybillError) || error.code !== 'TemporalUnavailable') throw error;
  });
  return allowed;
}

/** Whoever schedules what they may not run would only learn of it at the first firing. */
async function maySchedule(
  ports: ApiPorts,
  { principal }: Authorization,
  pipeline: LoadedPipeline,
  request: FastifyRequest,
): Promise<Allowed> {
  const decisions = await mayRun(ports, { principal, pipeline }, request, ['schedule']);
  return {
    policies: [...new Set(decisions.flatMap(({ policies }) => policies))],
    policyDigest: decisions[0]!.digest,
  };
}

/** Where a caller sends the data, there is nothing to read when the time comes. Throws `SourceInvalid`. */
function checkReads({ manifest: { source } }: LoadedPipeline): void {
  if (source.kind === 'file' || source.kind === 'http') return;
  throw new WaybillError('SourceInvalid', {
    issues: [
      {
        path: '/pipeline',
        message:
          'Its data is sent by whoever triggers it, and nobody does when the time comes. Schedule one that reads a file or a URL.',
      },
    ],
  });
}

export function changed(
  action: string,
  { principal }: Authorization,
  txn: string,
  { id, pipeline, owner, state }: ScheduleDraft,
  consented: GivenDelegation | null,
  { policies, policyDigest }: Allowed,
) {
  const subject = { principal, runId: null, txn };
  const delegation = consented && { delegation: consented.id, expiresAtS: consented.expiresAtS };
  return auditOf(subject, action, {
    schedule: id,
    pipeline,
    owner: owner.id,
    state,
    ...delegation,
    policies,
    policyDigest,
  });
}
