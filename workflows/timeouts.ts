import {
  ActivityCancellationType,
  type ActivityOptions,
  type LocalActivityOptions,
} from '@temporalio/workflow';
import { retries } from '../domain/webhooks/webhookAnswer.ts';
import { attemptMaxMs } from '../domain/webhooks/webhookDelivery.ts';

/**
 * All timeouts and retry policies of all activities.
 *
 * A heartbeat is due every 5 s (sent each second), so Temporal notices a killed worker within 5 s, whatever the
 * step. Transient faults (an unavailable database or source) are retried without limit: once
 * the grant of the run has expired, an attempt says so, and the run is suspended. The activity marks permanent faults
 * non-retryable, from the table in `domain/errors.ts`.
 */
const withoutLimit = { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '30s' } as const;

/** A cancelled run ends only after its steps have stopped, so no step writes after the recorded end. */
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

export const timeouts = {
  /** Reads a whole file or URL, however large. */
  fetch: { startToCloseTimeout: '24h', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  /** Waits at most 30 s for batches to arrive, then answers. */
  ingest: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit },
  validate: { startToCloseTimeout: '5m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  /** Looks up as many values as a batch has records, at the rate that the pipeline sets. */
  enrich: { startToCloseTimeout: '24h', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  transform: { startToCloseTimeout: '15m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  store: { startToCloseTimeout: '15m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  /** Reads all rows of the run. */
  gate: { startToCloseTimeout: '30m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  decide: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  processApprovalTimers: {
    startToCloseTimeout: '60s',
    heartbeatTimeout: '5s',
    retry: withoutLimit,
    cancellationType,
  },
  /** Writes all rows of the run. */
  publish: { startToCloseTimeout: '30m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  suspend: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit },
  resume: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit },
  finalize: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
} as const satisfies Record<string, ActivityOptions>;

/**
 * The steps of a small run, and `finalize` of every run, are local activities: they run inside the workflow task that
 * needs them, which saves the server most of its work for a small run. The SDK keeps a long task alive; Temporal gives a task that was
 * lost with its worker to another after `workflowTaskTimeout`. A step that still fails
 * after a few attempts continues as a remote activity, since every local retry by a timer would lengthen the history.
 */
const localDefaults = {
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '1s', maximumAttempts: 4 },
  cancellationType,
} as const;

export const localTimeouts = {
  /** The worker may take the steps after it too. */
  ingest: { startToCloseTimeout: '15m', ...localDefaults },
  validate: { startToCloseTimeout: '5m', ...localDefaults },
  transform: { startToCloseTimeout: '15m', ...localDefaults },
  store: { startToCloseTimeout: '15m', ...localDefaults },
  gate: { startToCloseTimeout: '15m', ...localDefaults },
  publish: { startToCloseTimeout: '15m', ...localDefaults },
  finalize: { startToCloseTimeout: '60s', ...localDefaults },
  replaceGrant: { startToCloseTimeout: '60s', retry: withoutLimit },
} as const satisfies Record<string, LocalActivityOptions>;

/**
 * Of a webhook delivery. A failed attempt says when the next one is due (with jitter, which Temporal’s policies lack), at
 * most `maximumInterval` later; the policy applies to an attempt of a worker that died. Temporal gives up after three days.
 */
export const deliveryTimeouts = {
  deliver: {
    scheduleToCloseTimeout: retries.giveUpAfterMs,
    startToCloseTimeout: attemptMaxMs,
    retry: {
      initialInterval: retries.initialMs,
      backoffCoefficient: retries.coefficient,
      maximumInterval: retries.maximumMs,
    },
  },
  abandon: { startToCloseTimeout: '60s', retry: withoutLimit },
} as const satisfies Record<string, ActivityOptions>;

/** Of a firing. Without limit: an unavailable API delays it, and the API decides how late is too late. */
export const firerTimeouts = {
  fire: {
    startToCloseTimeout: '40s',
    retry: { ...withoutLimit, maximumInterval: '10s' },
  },
} as const satisfies Record<string, ActivityOptions>;

/** Of a step of the sweep, which goes on where the one before has stopped. */
export const sweeperTimeouts = {
  sweep: {
    startToCloseTimeout: '15m',
    heartbeatTimeout: '30s',
    retry: { ...withoutLimit, maximumInterval: '10m' },
  },
} as const satisfies Record<string, ActivityOptions>;

/** After this long Temporal gives a workflow task that was lost with its worker to another. Temporal’s default is 10 s. */
export const workflowTaskTimeout = '5s';

/** History length at which a run continues as new: well below 4,000 events, whatever is still in flight. */
export const historyEventsMax = 3_000;

/**
 * How long a suspended run waits before it checks its right again by itself; the last value repeats. Short at first
 * and after a signal, because the worker that rejected the step may have had revocations up to 10 s old.
 */
export const recheckAfterMs: readonly number[] = [2_000, 10_000, 60_000, 600_000, 3_600_000];

/** A gated run asks for the state of its approval at least this often, so that a wrong due time cannot make it wait for ever. */
export const approvalCheckMaxMs = 86_400_000;
