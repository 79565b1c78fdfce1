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
import { type Counts, zeroCounts } from '../domain/run.ts';
import { describeProgress } from './details.ts';
import { overdue, reasonOf, toWorkflowFailure } from './failure.ts';
import { adopt, type Cursor, type RunInput, type RunResult, wake } from './messages.ts';
import { type Halt, Movement } from './movement.ts';
import { stepsOf } from './steps.ts';
import { type Awakened, untilRightIsBack } from './suspension.ts';

/**
 * One run: batches arrive, each is validated and transformed beside others, and once the last byte is durable they
 * are stored in their order, so that of two records with one key the later in the source wins. Where a right is
 * withdrawn meanwhile, the run waits, holding nothing, and goes on from where it stood. However it ends, `finalize`
 * records it. Only references and counts pass through here.
 */
export async function runPipeline(input: RunInput): Promise<RunResult> {
  const cursor = input.cursor ?? freshCursor(input);
  const awakened = listen(input);
  try {
    for (;;) {
      const halt = await moveBatches(input, cursor);
      if (halt.cause === 'finished') return await complete(input);
      // Continuing as new would lose a cancellation that came with the last thing that was under way.
      if (scopeIsCancelled()) throw new CancelledFailure('The run was cancelled.');
      if (halt.cause === 'withdrawn') {
        const outcome = await untilRightIsBack(input, cursor, halt.reason, awakened);
        if (outcome === 'overdue') throw overdue();
        if (outcome === 'resumed') continue;
      }
      await condition(allHandlersFinished);
      return await continueAsNew<typeof runPipeline>({ ...input, cursor });
    }
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    await CancellationScope.nonCancellable(() => abandon(input, error));
    throw isCancellation(error) ? error : toWorkflowFailure(error);
  }
}

/**
 * Two messages, both of which can only make a suspended run ask again: the signal, which anybody may send, and the update,
 * whose grant an activity verifies before the interceptor lets the run carry it.
 */
function listen(input: RunInput): Awakened {
  const awakened = { due: false };
  setHandler(wake, () => {
    awakened.due = true;
  });
  setHandler(
    adopt,
    async () => {
      const adopted = await stepsOf(input).adopt();
      awakened.due = true;
      return adopted;
    },
    // Registered so that interceptors of validation run; whose grant it is, only an activity can tell.
    { validator: () => {} },
  );
  return awakened;
}

function moveBatches(input: RunInput, cursor: Cursor): Promise<Halt> {
  const moving = new CancellationScope();
  return moving.run(
    () =>
      new Promise<Halt>((resolve, reject) => new Movement(input, cursor, moving, resolve, reject).advance()),
  );
}

async function complete(input: RunInput): Promise<RunResult> {
  const outcome = await recordEnd(input, { state: 'completed' });
  await condition(allHandlersFinished);
  return { state: 'completed', counts: outcome.counts };
}

async function abandon(input: RunInput, error: unknown): Promise<void> {
  const reason = reasonOf(error);
  const state = isCancellation(error) || reason.code === 'RunOverdue' ? 'cancelled' : 'failed';
  await recordEnd(input, { state, reason });
  await condition(allHandlersFinished);
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
