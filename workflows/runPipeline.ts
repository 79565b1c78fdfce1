import {
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { addCounts, type Counts, zeroCounts } from '../domain/run.ts';
import { describeProgress } from './details.ts';
import { reasonOf, toWorkflowFailure } from './failure.ts';
import type { Cursor, RunInput, RunResult } from './messages.ts';
import { historyEventsMax, localTimeouts, timeouts } from './timeouts.ts';

/**
 * One run: batches arrive, each is validated and transformed beside others, and once the last byte is durable they
 * are stored in their order, so that of two records with one key the later in the source wins. However the run
 * ends, `finalize` records it. Only references and counts pass through here.
 */
export async function runPipeline(input: RunInput): Promise<RunResult> {
  const cursor = input.cursor ?? freshCursor(input);
  try {
    const finished = await moveBatches(input, cursor);
    if (!finished) return await continueAsNew<typeof runPipeline>({ ...input, cursor });
    return await complete(input);
  } catch (error) {
    if (isContinueAsNew(error)) throw error;
    await CancellationScope.nonCancellable(() => abandon(input, error));
    throw isCancellation(error) ? error : toWorkflowFailure(error);
  }
}

/** Returns false where the history has grown so long that the rest belongs into a new execution. */
async function moveBatches(input: RunInput, cursor: Cursor): Promise<boolean> {
  const { fetch, ingest, validate, transform, store } = activitiesOf(input);
  const ready = new Set<number>();
  let next = cursor.prepared;
  let draining = false;

  const scope = new CancellationScope();
  const arriving = new CancellationScope({ cancellable: true, parent: scope });

  async function read(): Promise<void> {
    if (cursor.fetched) return;
    await fetch();
    cursor.fetched = true;
  }

  async function arrive(): Promise<void> {
    while (!cursor.sealed && !draining) {
      const page = await ingest({ after: cursor.known });
      cursor.known = page.known;
      cursor.sealed = page.sealed;
    }
  }

  async function prepare(): Promise<void> {
    for (;;) {
      await condition(() => draining || next < cursor.known || cursor.sealed);
      if (draining || next >= cursor.known) return;
      const seq = next++;
      count(await validate({ seq }));
      count(await transform({ seq }));
      ready.add(seq);
    }
  }

  async function storeInOrder(): Promise<void> {
    while (!draining) {
      await condition(
        () => draining || (cursor.sealed && (isReady(cursor.stored) || cursor.stored === cursor.known)),
      );
      if (draining || cursor.stored === cursor.known) return;
      count(await store({ seq: cursor.stored }));
      ready.delete(cursor.stored++);
    }
  }

  function isReady(seq: number): boolean {
    return seq < cursor.prepared || ready.has(seq);
  }

  function count(more: Partial<Counts>): void {
    cursor.counts = addCounts(cursor.counts, more);
    setCurrentDetails(describeProgress(input, cursor));
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    if (draining || !(continueAsNewSuggested || historyLength > historyEventsMax)) return;
    draining = true;
    // Waiting for arrivals, or reading on, is taken up again where it stood.
    arriving.cancel();
  }

  const lanes = Array.from({ length: input.concurrency }, () => scope.run(prepare));
  const arrivals = [read, arrive].map((lane) =>
    arriving.run(lane).catch((error: unknown) => {
      if (!(draining && isCancellation(error))) throw error;
    }),
  );
  const all = [...arrivals, ...lanes, scope.run(storeInOrder)];
  try {
    await scope.run(() => Promise.all(all));
  } catch (error) {
    // The first failure ends the others before the run ends, so that nothing writes after it.
    scope.cancel();
    await CancellationScope.nonCancellable(() => Promise.allSettled(all));
    throw error;
  }
  // Every lane has let go, so the prepared batches are again all those below `next`.
  cursor.prepared = next;
  return !draining || (cursor.sealed && cursor.stored === cursor.known);
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
  const { finalize } = proxyLocalActivities<Activities>({
    ...localTimeouts.finalize,
    scheduleToCloseTimeout: input.deadlineMs,
  });
  const outcome = await finalize(end);
  upsertSearchAttributes({ WaybillState: [outcome.state] });
  setCurrentDetails(describeProgress(input, undefined, outcome));
  return outcome;
}

function activitiesOf(
  input: RunInput,
): Pick<Activities, 'fetch' | 'ingest' | 'validate' | 'transform' | 'store'> {
  const proxy = <K extends keyof typeof timeouts>(step: K): Activities[K] =>
    proxyActivities<Activities>({ ...timeouts[step], scheduleToCloseTimeout: input.deadlineMs })[
      step
    ] as Activities[K];
  return {
    fetch: proxy('fetch'),
    ingest: proxy('ingest'),
    validate: proxy('validate'),
    transform: proxy('transform'),
    store: proxy('store'),
  };
}

function freshCursor(input: RunInput): Cursor {
  return { known: 0, sealed: false, fetched: !input.pulled, prepared: 0, stored: 0, counts: zeroCounts };
}

function isContinueAsNew(error: unknown): boolean {
  return error instanceof Error && error.name === 'ContinueAsNew';
}
