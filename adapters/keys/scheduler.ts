import { z } from 'zod';
import { errors, WaybillError } from '../../domain/errors.ts';
import type { FiringAnswer, Scheduler } from '../../domain/ports/scheduler.ts';
import { assertClient, type WorkloadKey } from './clientAssertion.ts';

const timeoutMs = 30_000;

export interface SchedulerOptions {
  /** Of the API. */
  url: URL;
  /** The name of this Waybill, `urn:waybill:<instance>`: the audience of what proves who asks. */
  issuer: string;
  workload: WorkloadKey | undefined;
}

/** Asks the API for firings, as a workload that proves itself by its key (`private_key_jwt`). */
export function createScheduler({ url, issuer, workload }: SchedulerOptions): Scheduler {
  return {
    async fire(scheduleId, { workflowId, runId }) {
      if (!workload) throw unavailable('this worker has no key of its own: set WAYBILL_WORKLOAD_KEY');
      const body = JSON.stringify({
        workflowId,
        runId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await assertClient(workload, issuer).catch((error) => {
          throw unavailable('the key of this worker cannot be used', error);
        }),
      });
      return ask(new URL(`/v1/schedules/${encodeURIComponent(scheduleId)}/firings`, url), body);
    },
  };
}

const Answer = z.looseObject({ outcome: z.enum(['fired', 'blocked', 'missed', 'skipped', 'refused']) });
const Refused = z.object({ code: z.enum(Object.keys(errors) as [keyof typeof errors]) });

async function ask(url: URL, body: string): Promise<FiringAnswer> {
  const response = await fetch(url, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  }).catch((error) => {
    throw unavailable('no answer', error);
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok && Answer.safeParse(answer).success) return answer as FiringAnswer;
  const { data } = Refused.safeParse(answer);
  // Whatever it is, it is for an operator to mend, and the firing waits for that.
  if (data && errors[data.code].retryable) throw new WaybillError(data.code, { detail: 'said the API' });
  throw unavailable(`answered ${response.status} ${data?.code ?? ''}`);
}

function unavailable(detail: string, cause?: unknown): WaybillError {
  return new WaybillError('FiringUnavailable', { detail, cause });
}
