import {
  allHandlersFinished,
  CancellationScope,
  CancelledFailure,
  ContinueAsNew,
  condition,
  continueAsNew,
  isCancellation,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { type Counts, zeroCounts } from '../domain/runs/run.ts';
import { BatchScheduler, type StopReason } from './batchScheduler.ts';
import { Decisions } from './decisions.ts';
import { describeProgress } from './details.ts';
import { deadlineExceeded, reasonOf, toWorkflowFailure } from './failure.ts';
import { passGate, publish, type Rejected, updateApproval } from './gate.ts';
import {
  type Cursor,
  publishes,
  type RunInput,
  type RunResult,
  recheckAuthorization,
  replaceGrant,
} from './messages.ts';
import { stepsOf } from './steps.ts';
import { type RecheckRequest, waitUntilAuthorized } from './suspension.ts';

/**
 * One run: batches arrive, are validated and transformed concurrently, and are stored in source order once the last byte is
 * durable, so that of two records with one key the later in the source wins. A gated run waits for approval before its first byte
 * is read, or with all rows staged, which are then published at once. When a right is revoked, the run waits, holds nothing,
 * and later continues from where it stood. `finalize` records every end. Only references and counts pass through the workflow.
 */
export async function runPipeline(input: RunInput): Promise<RunResult> {
  const cursor = input.cursor ?? freshCursor(input);
  const recheck = handleMessages(input);
  const decisions = new Decisions(input, (approval) => updateApproval(input, cursor, approval));
  const settled = () => condition(() => allHandlersFinished() && decisions.idle);
  try {
    for (;;) {
      const stop = await advance(input, cursor);
      if (stop.cause === 'finished') return await complete(input, settled);
      if (stop.cause === 'rejected') return await recordRejection(input, stop.code, settled);
      // Continuing as new would lose a cancellation that arrived with the last step in flight.
      if (scopeIsCancelled()) throw new CancelledFailure('The run was cancelled.');
      if (stop.cause === 'revoked') {
        const outcome = await waitUntilAuthorized(input, cursor, stop.reason, recheck);
        if (outcome === 'deadline-exceeded') throw deadlineExceeded();
        if (outcome === 'resumed') continue;
      }
      await settled();
      return await continueAsNew<typeof runPipeline>({ ...input, cursor });
    }
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    const { state, counts } = await CancellationScope.nonCancellable(() =>
      recordFailure(input, error, settled),
    );
    // Published rows stay published, whatever arrived too late to prevent it; but a run that starts again has ended.
    if (state === 'completed' && reasonOf(error).code !== 'RunEnded') return { state, counts };
    throw isCancellation(error) ? error : toWorkflowFailure(error);
  }
}

/** Advances as far as possible: through the gate and to the end. It skips what the cursor says is done. */
async function advance(input: RunInput, cursor: Cursor): Promise<StopReason | Rejected> {
  if (input.gate === 'ingest') {
    const at = await passGate(input, cursor);
    if (at.cause !== 'passed') return at;
  }
  const moved = await moveBatches(input, cursor);
  if (moved.cause !== 'finished' || !publishes(input)) return moved;
  // Without new data there is nothing to approve; but a table that is replaced is empty then.
  if (cursor.received === 0 && input.atEnd !== 'replace') return moved;
  if (input.gate === 'publish') {
    const at = await passGate(input, cursor);
    if (at.cause !== 'passed') return at;
  }
  const published = await publish(input, cursor);
  return published.cause === 'passed' ? { cause: 'finished' } : published;
}

/**
 * Two messages, which only make a suspended run check its right again: the signal, which any client may send, and the update.
 * An activity verifies the grant of the update before the interceptor replaces the grant of the run.
 */
function handleMessages(input: RunInput): RecheckRequest {
  const recheck = { due: false };
  setHandler(recheckAuthorization, () => {
    recheck.due = true;
  });
  setHandler(
    replaceGrant,
    async () => {
      const replaced = await stepsOf(input).replaceGrant();
      recheck.due = true;
      return replaced;
    },
    // Registered so that validation interceptors run; only an activity can verify the grant.
    { validator: () => {} },
  );
  return recheck;
}

function moveBatches(input: RunInput, cursor: Cursor): Promise<StopReason> {
  const moving = new CancellationScope();
  return moving.run(
    () =>
      new Promise<StopReason>((resolve, reject) =>
        new BatchScheduler(input, cursor, moving, resolve, reject).advance(),
      ),
  );
}

async function complete(input: RunInput, settled: () => Promise<void>): Promise<RunResult> {
  const outcome = await recordEnd(input, { state: 'completed' });
  await settled();
  return { state: 'completed', counts: outcome.counts };
}

async function recordRejection(
  input: RunInput,
  code: Rejected['code'],
  settled: () => Promise<void>,
): Promise<RunResult> {
  const outcome = await recordEnd(input, { state: 'cancelled', reason: { code, message: '' } });
  await settled();
  return { state: 'cancelled', counts: outcome.counts };
}

async function recordFailure(
  input: RunInput,
  error: unknown,
  settled: () => Promise<void>,
): ReturnType<typeof recordEnd> {
  const reason = reasonOf(error);
  const state = isCancellation(error) || reason.code === 'DeadlineExceeded' ? 'cancelled' : 'failed';
  const outcome = await recordEnd(input, { state, reason });
  await settled();
  return outcome;
}

async function recordEnd(
  input: RunInput,
  end: Parameters<Activities['finalize']>[0],
): Promise<{ state: string; counts: Counts }> {
  const outcome = await stepsOf(input).finalize(end);
  upsertSearchAttributes({ WaybillState: [outcome.state] });
  setCurrentDetails(describeProgress(input, undefined, outcome));
  return outcome;
}

function freshCursor(input: RunInput): Cursor {
  return {
    received: 0,
    inputComplete: false,
    fetched: !input.pulled,
    transformed: 0,
    stored: 0,
    counts: zeroCounts,
  };
}

function scopeIsCancelled(): boolean {
  return CancellationScope.current().consideredCancelled;
}
