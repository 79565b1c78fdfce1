import {
  CancellationScope,
  CancelledFailure,
  ContinueAsNew,
  continueAsNew,
  isCancellation,
  setCurrentDetails,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { type Counts, zeroCounts } from '../domain/run.ts';
import { describeProgress } from './details.ts';
import { reasonOf, toWorkflowFailure } from './failure.ts';
import type { Cursor, RunInput, RunResult } from './messages.ts';
import { Movement } from './movement.ts';
import { stepsOf } from './steps.ts';

/**
 * One run: batches arrive, each is validated and transformed beside others, and once the last byte is durable they
 * are stored in their order, so that of two records with one key the later in the source wins. However the run
 * ends, `finalize` records it. Only references and counts pass through here.
 */
export async function runPipeline(input: RunInput): Promise<RunResult> {
  const cursor = input.cursor ?? freshCursor(input);
  try {
    const finished = await moveBatches(input, cursor);
    // Continuing as new would lose a cancellation that came with the last thing that was under way.
    if (!finished && scopeIsCancelled()) throw new CancelledFailure('The run was cancelled.');
    if (!finished) return await continueAsNew<typeof runPipeline>({ ...input, cursor });
    return await complete(input);
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    await CancellationScope.nonCancellable(() => abandon(input, error));
    throw isCancellation(error) ? error : toWorkflowFailure(error);
  }
}

/** Returns false where the history has grown so long that the rest belongs into a new execution. */
async function moveBatches(input: RunInput, cursor: Cursor): Promise<boolean> {
  const moving = new CancellationScope();
  await moving.run(
    () =>
      new Promise<void>((resolve, reject) => new Movement(input, cursor, moving, resolve, reject).advance()),
  );
  return cursor.sealed && cursor.stored === cursor.known;
}

async function complete(input: RunInput): Promise<RunResult> {
  const outcome = await recordEnd(input, { state: 'completed' });
  return { state: 'completed', counts: outcome.counts };
}

async function abandon(input: RunInput, error: unknown): Promise<void> {
  const state = isCancellation(error) ? 'cancelled' : 'failed';
  await recordEnd(input, { state, reason: reasonOf(error) });
}

async function recordEnd(
  input: RunInput,
  end: Parameters<Activities['finalize']>[0],
): Promise<{ counts: Counts }> {
  const outcome = await stepsOf(input).finalize(end);
  upsertSearchAttributes({ WaybillState: [outcome.state] });
  setCurrentDetails(describeProgress(input, undefined, outcome));
  return outcome;
}

function freshCursor(input: RunInput): Cursor {
  return { known: 0, sealed: false, fetched: !input.pulled, prepared: 0, stored: 0, counts: zeroCounts };
}

function scopeIsCancelled(): boolean {
  return CancellationScope.current().consideredCancelled;
}
