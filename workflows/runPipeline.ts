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
import { overdue, reasonOf, toWorkflowFailure } from './failure.ts';
import { type Declined, noteApproval, passGate, publish } from './gate.ts';
import {
  type Cursor,
  type RunInput,
  type RunResult,
  recheckAuthorization,
  replaceGrant,
} from './messages.ts';
import { stepsOf } from './steps.ts';
import { type RecheckRequest, waitUntilAuthorized } from './suspension.ts';

/**
 * One run: batches arrive, each is validated and transformed beside others, and once the last byte is durable they
 * are stored in their order, so that of two records with one key the later in the source wins. A run that people have to let
 * through waits at its gate: before its first byte is read, or with all its rows prepared, which are then published at once. Where
 * a right is withdrawn meanwhile, the run waits, holding nothing, and goes on from where it stood. However it ends, `finalize`
 * records it. Only references and counts pass through here.
 */
export async function runPipeline(input: RunInput): Promise<RunResult> {
  const cursor = input.cursor ?? freshCursor(input);
  const awakened = listen(input);
  const decisions = new Decisions(input, (approval) => noteApproval(input, cursor, approval));
  const settled = () => condition(() => allHandlersFinished() && decisions.idle);
  try {
    for (;;) {
      const halt = await goOn(input, cursor);
      if (halt.cause === 'finished') return await complete(input, settled);
      if (halt.cause === 'declined') return await decline(input, halt.code, settled);
      // Continuing as new would lose a cancellation that came with the last thing that was under way.
      if (scopeIsCancelled()) throw new CancelledFailure('The run was cancelled.');
      if (halt.cause === 'withdrawn') {
        const outcome = await waitUntilAuthorized(input, cursor, halt.reason, awakened);
        if (outcome === 'overdue') throw overdue();
        if (outcome === 'resumed') continue;
      }
      await settled();
      return await continueAsNew<typeof runPipeline>({ ...input, cursor });
    }
  } catch (error) {
    if (error instanceof ContinueAsNew) throw error;
    const { state, counts } = await CancellationScope.nonCancellable(() => abandon(input, error, settled));
    // What was published is published, and whatever came too late to prevent it changes nothing; but what begins again has ended.
    if (state === 'completed' && reasonOf(error).code !== 'RunEnded') return { state, counts };
    throw isCancellation(error) ? error : toWorkflowFailure(error);
  }
}

/** As far as it gets: through its gate and to its end. What is behind it already is passed by without a step. */
async function goOn(input: RunInput, cursor: Cursor): Promise<StopReason | Declined> {
  if (input.gate === 'ingest') {
    const at = await passGate(input, cursor);
    if (at.cause !== 'passed') return at;
  }
  const moved = await moveBatches(input, cursor);
  // A source that holds nothing new leaves nothing to be asked about.
  if (moved.cause !== 'finished' || input.gate !== 'publish' || cursor.known === 0) return moved;
  const at = await passGate(input, cursor);
  if (at.cause !== 'passed') return at;
  const published = await publish(input, cursor);
  return published.cause === 'passed' ? { cause: 'finished' } : published;
}

/**
 * Two messages, both of which can only make a suspended run ask again: the signal, which anybody may send, and the update,
 * whose grant an activity verifies before the interceptor lets the run carry it.
 */
function listen(input: RunInput): RecheckRequest {
  const awakened = { due: false };
  setHandler(recheckAuthorization, () => {
    awakened.due = true;
  });
  setHandler(
    replaceGrant,
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

async function decline(
  input: RunInput,
  code: Declined['code'],
  settled: () => Promise<void>,
): Promise<RunResult> {
  const outcome = await recordEnd(input, { state: 'cancelled', reason: { code, message: '' } });
  await settled();
  return { state: 'cancelled', counts: outcome.counts };
}

async function abandon(
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
  return { known: 0, sealed: false, fetched: !input.pulled, prepared: 0, stored: 0, counts: zeroCounts };
}

function scopeIsCancelled(): boolean {
  return CancellationScope.current().consideredCancelled;
}
