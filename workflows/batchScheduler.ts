import { CancellationScope, isCancellation, setCurrentDetails, sleep } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { suspends } from '../domain/grants/attemptRejection.ts';
import { addCounts, type Counts } from '../domain/runs/run.ts';
import type { RunReason } from '../domain/runs/runFacts.ts';
import { describeProgress } from './details.ts';
import { invalidResult, reasonOf } from './failure.ts';
import { isHistoryLong } from './history.ts';
import { type Cursor, publishes, type RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';

/** The bound for the input’s value, which a client of Temporal may have chosen. */
const concurrencyMax = 64;
/** The bound for the pause after a batch: an activity has named the size. */
const pauseMaxMs = 3_600_000;

/**
 * Why the scheduler stopped: all batches are stored (or transformed, where the run publishes them as a whole); the history is so long
 * that the run continues as new; a right was revoked.
 */
export type StopReason = { cause: 'finished' } | Interruption;
export type Interruption = { cause: 'history' } | { cause: 'revoked'; reason: RunReason };

/**
 * Schedules the steps of the batches of one run. Whenever a step ends, `advance` starts every step that has become
 * possible; the scheduler is done when no step is in flight. It is a state machine rather than concurrent loops,
 * because the SDK takes a stack trace of every promise that a workflow makes.
 */
export class BatchScheduler {
  private readonly steps: Activities;
  /** Transformed batches at or beyond `cursor.transformed`. */
  private readonly ready: Set<number>;
  private readonly arrivals = new CancellationScope();
  private next: number;
  private inFlight = 0;
  private transforming = 0;
  /** A batch of a throttled run has begun, and its time is not over. */
  private pausing = false;
  private storing = false;
  private ingesting = false;
  private fetching = false;
  /** Set once no further step is started, while those in flight end. */
  private stopping: StopReason | undefined;
  private failure: { error: unknown } | undefined;
  private readonly input: RunInput;
  private readonly cursor: Cursor;
  private readonly scope: CancellationScope;
  private readonly resolve: (stop: StopReason) => void;
  private readonly reject: (error: unknown) => void;

  constructor(
    input: RunInput,
    cursor: Cursor,
    scope: CancellationScope,
    resolve: (reason: StopReason) => void,
    reject: (error: unknown) => void,
  ) {
    this.input = input;
    this.cursor = cursor;
    this.scope = scope;
    this.resolve = resolve;
    this.reject = reject;
    this.steps = stepsOf(input);
    this.next = cursor.transformed;
    this.ready = new Set(cursor.ahead);
  }

  advance(): void {
    this.stopIfHistoryIsLong();
    if (!this.failure && !this.stopping) {
      this.fetch();
      this.ingest();
      while (
        !this.pausing &&
        this.transforming < Math.min(this.input.concurrency, concurrencyMax) &&
        this.next < this.cursor.received
      )
        this.transform(this.next++);
      this.storeNext();
    }
    if (this.inFlight > 0) return;
    if (this.failure) this.reject(this.failure.error);
    else this.resolve(this.end());
  }

  private end(): StopReason {
    this.settleCursor();
    const { inputComplete, transformed, stored, received } = this.cursor;
    const moved = publishes(this.input) ? transformed : stored;
    return inputComplete && moved === received ? { cause: 'finished' } : this.stopping!;
  }

  /** No step is in flight: `cursor.transformed` covers all batches up to the first that is not transformed. */
  private settleCursor(): void {
    const { cursor, ready } = this;
    while (ready.has(cursor.transformed) || cursor.transformed < cursor.stored)
      ready.delete(cursor.transformed++);
    if (ready.size > 0) cursor.ahead = [...ready].sort((a, b) => a - b);
    else delete cursor.ahead;
  }

  private stopIfHistoryIsLong(): void {
    if (isHistoryLong()) this.stop({ cause: 'history' });
  }

  private stop(reason: StopReason): void {
    if (this.stopping) return;
    this.stopping = reason;
    // `ingest` and `fetch` resume where they stood, and no pause holds up what comes next.
    this.arrivals.cancel();
  }

  private fetch(): void {
    if (this.cursor.fetched || this.fetching) return;
    this.fetching = true;
    this.start(
      this.arrivals.run(() => this.steps.fetch()),
      () => {
        this.cursor.fetched = true;
      },
    );
  }

  private ingest(): void {
    const { cursor } = this;
    if (cursor.inputComplete || this.ingesting) return;
    this.ingesting = true;
    const fetchedBefore = cursor.fetched && this.input.pulled;
    this.start(
      this.arrivals.run(() => this.steps.ingest({ after: cursor.received })),
      (arrived) => {
        this.ingesting = false;
        if (!isPossible(arrived, cursor, fetchedBefore)) throw invalidResult('ingest');
        cursor.received = arrived.received;
        cursor.inputComplete = arrived.inputComplete;
      },
    );
  }

  private transform(seq: number): void {
    if (this.ready.has(seq)) return;
    this.transforming++;
    this.pausing = this.input.recordsPerSecond !== undefined;
    this.start(this.steps.validate({ seq }), (validated) => {
      this.pauseAfter(validated.read);
      const transform = () =>
        this.unlessRevoked(this.steps.transform, seq, (transformed) => {
          this.transforming--;
          this.ready.add(seq);
          // Count both together: a batch that is interrupted in between is counted when it is transformed again.
          this.count(validated);
          this.count(transformed);
        });
      if (this.input.enriches) this.unlessRevoked(this.steps.enrich, seq, transform);
      else transform();
    });
  }

  private unlessRevoked<T>(
    step: (batch: { seq: number }) => Promise<T>,
    seq: number,
    onDone: (result: T) => void,
  ): void {
    if (this.stopping?.cause !== 'revoked') this.start(step({ seq }), onDone);
  }

  /** A timer of Temporal, so that a worker that ends in between changes nothing. */
  private pauseAfter(records = 0): void {
    const { recordsPerSecond } = this.input;
    const isLast = this.cursor.inputComplete && this.next >= this.cursor.received;
    if (recordsPerSecond === undefined || isLast) return;
    const pauseMs = Math.ceil((records * 1_000) / recordsPerSecond);
    const boundedMs = Math.min(Math.max(pauseMs, 1) || 1, pauseMaxMs);
    this.start(
      this.arrivals.run(() => sleep(boundedMs)),
      () => {
        this.pausing = false;
      },
    );
  }

  /**
   * Stores one batch at a time, in source order, and none before the last byte is durable. A run that publishes at its end
   * stores all batches at once instead.
   */
  private storeNext(): void {
    if (publishes(this.input)) return;
    const { cursor } = this;
    const seq = cursor.stored;
    const isReady = seq < cursor.transformed || this.ready.has(seq);
    if (this.storing || !cursor.inputComplete || !isReady || seq >= cursor.received) return;
    this.storing = true;
    this.start(this.steps.store({ seq }), (stored) => {
      this.storing = false;
      this.ready.delete(seq);
      cursor.stored++;
      this.count(stored);
    });
  }

  private start<T>(work: Promise<T>, onDone: (result: T) => void): void {
    this.inFlight++;
    work.then(
      (result) => {
        this.inFlight--;
        try {
          onDone(result);
        } catch (error) {
          // A client of Temporal can complete an activity with any result; an uncaught error would block the workflow for good.
          this.fail(error);
        }
        this.advance();
      },
      (error: unknown) => {
        this.inFlight--;
        this.fail(error);
        this.advance();
      },
    );
  }

  /**
   * After a revocation the steps in flight end by themselves: each checks its own right. The first failure of another kind
   * cancels the others before the run ends, so that no step writes after the end.
   */
  private fail(error: unknown): void {
    const expected = this.stopping && isCancellation(error) && !this.scope.consideredCancelled;
    if (expected || this.failure) return;
    const reason = reasonOf(error);
    if (suspends(reason.code)) this.stop({ cause: 'revoked', reason });
    else {
      this.failure = { error };
      this.scope.cancel();
    }
  }

  private count(more: Partial<Counts>): void {
    this.cursor.counts = addCounts(this.cursor.counts, more);
    setCurrentDetails(describeProgress(this.input, this.cursor));
  }
}

/**
 * Whether `ingest` can have returned this: it never takes batches back, and once the source was read to its end it says so. A
 * batch that it invents ends the run as soon as `validate` does not find it.
 */
function isPossible(
  { received, inputComplete }: { received: number; inputComplete: boolean },
  cursor: Cursor,
  fetchedBefore: boolean,
): boolean {
  if (!Number.isSafeInteger(received) || received < cursor.received || typeof inputComplete !== 'boolean')
    return false;
  return inputComplete || !fetchedBefore;
}
