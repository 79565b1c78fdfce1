import {
  ActivityCancellationType,
  type ActivityOptions,
  type LocalActivityOptions,
} from '@temporalio/workflow';
import { retries } from '../domain/webhooks/webhookAnswer.ts';
import { attemptMaxMs } from '../domain/webhooks/webhookDelivery.ts';

/**
 * Every timeout and retry of every activity, in one place.
 *
 * A heartbeat is due every 5 s (sent each second), so a worker that was killed is noticed within 5 s whatever the
 * step. Faults that may pass (a database away, a source that does not answer) are retried without limit: once
 * the grant of the run has expired, an attempt says so, and the run is suspended. What cannot pass is marked
 * non-retryable by the activity itself, from the table in `domain/errors.ts`.
 */
const withoutLimit = { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '30s' } as const;

/** A cancelled run ends only once its steps have let go, so that nothing is written after its end was recorded. */
const cancellationType = ActivityCancellationType.WAIT_CANCELLATION_COMPLETED;

export const timeouts = {
  /** Reads a whole file or URL, however large. */
  fetch: { startToCloseTimeout: '24h', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  /** Waits at most 30 s for batches to arrive, then answers. */
  ingest: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit },
  validate: { startToCloseTimeout: '5m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  transform: { startToCloseTimeout: '15m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  store: { startToCloseTimeout: '15m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  /** Looks at all rows of the run, however many there are. */
  gate: { startToCloseTimeout: '30m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  decide: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  lapse: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  /** Writes all of them. */
  publish: { startToCloseTimeout: '30m', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
  suspend: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit },
  resume: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit },
  finalize: { startToCloseTimeout: '60s', heartbeatTimeout: '5s', retry: withoutLimit, cancellationType },
} as const satisfies Record<string, ActivityOptions>;

/**
 * The steps of a quick run, and `finalize` of every run, are local activities: they run inside the workflow task that
 * needs them, which saves the server most of its work for a small run. Such a task is kept alive while it takes long; one lost
 * with its worker is given to another after `workflowTaskTimeout`. What still fails
 * after a few attempts goes on as an activity of its own, since every local retry by a timer would lengthen the history.
 */
const inPlace = {
  retry: { initialInterval: '200ms', backoffCoefficient: 2, maximumInterval: '1s', maximumAttempts: 4 },
  cancellationType,
} as const;

export const localTimeouts = {
  ingest: { startToCloseTimeout: '60s', ...inPlace },
  validate: { startToCloseTimeout: '5m', ...inPlace },
  transform: { startToCloseTimeout: '15m', ...inPlace },
  store: { startToCloseTimeout: '15m', ...inPlace },
  gate: { startToCloseTimeout: '15m', ...inPlace },
  publish: { startToCloseTimeout: '15m', ...inPlace },
  finalize: { startToCloseTimeout: '60s', ...inPlace },
  adopt: { startToCloseTimeout: '60s', retry: withoutLimit },
} as const satisfies Record<string, LocalActivityOptions>;

/**
 * Of a delivery. An attempt that fails says when the next one is due (with jitter, which Temporal’s policies do not have), at
 * most `maximumInterval` later; the policy itself counts for one whose worker died. Temporal gives up after three days.
 */
export const courierTimeouts = {
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

/** Of a firing. Without limit: an API that is away for a while delays it, and how late is too late is for the API to say. */
export const firerTimeouts = {
  fire: {
    startToCloseTimeout: '40s',
    retry: { ...withoutLimit, maximumInterval: '10s' },
  },
} as const satisfies Record<string, ActivityOptions>;

/** A workflow task lost with its worker is given to another after this long. Temporal’s default is 10 s. */
export const workflowTaskTimeout = '5s';

/** History at which a run continues as new, well below 4,000 events whatever is still in flight. */
export const historyEventsMax = 3_000;

/**
 * How long a suspended run waits before it asks by itself whether its right is back; the last is repeated. Soon at first
 * and after it was woken, for a worker that said no may have known only what held 10 s ago.
 */
export const askAgainAfterMs: readonly number[] = [2_000, 10_000, 60_000, 600_000, 3_600_000];
