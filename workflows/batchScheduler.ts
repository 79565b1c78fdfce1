import { CancellationScope, isCancellation, setCurrentDetails } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { suspends } from '../domain/grants/refusal.ts';
import { addCounts, type Counts } from '../domain/runs/run.ts';
import type { RunReason } from '../domain/runs/runFacts.ts';
import { describeProgress } from './details.ts';
import { reasonOf } from './failure.ts';
import { isHistoryLong } from './history.ts';
import type { Cursor, RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';

/** Whatever the input says, which somebody may have written by hand. */
const concurrencyMax = 64;

/**
 * How a movement ended: all is stored, or prepared where it is published as a whole; the history is so long that the rest belongs
 * into a new one; a right was withdrawn.
 */
export type StopReason = { cause: 'finished' } | Interruption;
export type Interruption = { cause: 'history' } | { cause: 'withdrawn'; reason: RunReason };

/**
 * What is under way, and what may begin next. Whenever something ends, `advance` begins all that has become
 * possible; when nothing is under way any more, the movement is over. It is a small state machine rather than lanes
 * that wait for conditions, because the SDK takes a stack trace of every promise that a workflow makes.
 */
export class BatchScheduler {
  private readonly steps: Activities;
  /** Prepared batches at or beyond `cursor.prepared`. */
  private readonly ready: Set<number>;
  private readonly arrivals = new CancellationScope();
  private next: number;
  private underWay = 0;
  private preparing = 0;
  private storing = false;
  private awaiting = false;
  private fetching = false;
  /** Why nothing more is begun, while what is under way ends. */
  private halting: StopReason | undefined;
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
    resolve: (halt: StopReason) => void,
    reject: (error: unknown) => void,
  ) {
    this.input = input;
    this.cursor = cursor;
    this.scope = scope;
    this.resolve = resolve;
    this.reject = reject;
    this.steps = stepsOf(input);
    this.next = cursor.prepared;
    this.ready = new Set(cursor.ahead);
  }

  advance(): void {
    this.haltIfLong();
    if (!this.failure && !this.halting) {
      this.fetch();
      this.awaitArrivals();
      while (
        this.preparing < Math.min(this.input.concurrency, concurrencyMax) &&
        this.next < this.cursor.known
      )
        this.prepare(this.next++);
      this.storeNext();
    }
    if (this.underWay > 0) return;
    if (this.failure) this.reject(this.failure.error);
    else this.resolve(this.end());
  }

  private end(): StopReason {
    this.settleCursor();
    const { sealed, prepared, stored, known } = this.cursor;
    const moved = this.input.gate === 'publish' ? prepared : stored;
    return sealed && moved === known ? { cause: 'finished' } : this.halting!;
  }

  /** Everything has let go, and the cursor says again what is prepared: all up to the first batch that is not. */
  private settleCursor(): void {
    const { cursor, ready } = this;
    while (ready.has(cursor.prepared) || cursor.prepared < cursor.stored) ready.delete(cursor.prepared++);
    if (ready.size > 0) cursor.ahead = [...ready].sort((a, b) => a - b);
    else delete cursor.ahead;
  }

  private haltIfLong(): void {
    if (isHistoryLong()) this.halt({ cause: 'history' });
  }

  private halt(halt: StopReason): void {
    if (this.halting) return;
    this.halting = halt;
    // Waiting for arrivals, or reading on, is taken up again where it stood.
    this.arrivals.cancel();
  }

  private fetch(): void {
    if (this.cursor.fetched || this.fetching) return;
    this.fetching = true;
    this.begin(
      this.arrivals.run(() => this.steps.fetch()),
      () => {
        this.cursor.fetched = true;
      },
    );
  }

  private awaitArrivals(): void {
    const { cursor } = this;
    if (cursor.sealed || this.awaiting) return;
    this.awaiting = true;
    this.begin(
      this.arrivals.run(() => this.steps.ingest({ after: cursor.known })),
      ({ known, sealed }) => {
        this.awaiting = false;
        cursor.known = known;
        cursor.sealed = sealed;
      },
    );
  }

  private prepare(seq: number): void {
    if (this.ready.has(seq)) return;
    this.preparing++;
    this.begin(this.steps.validate({ seq }), (validated) => {
      if (this.halting?.cause === 'withdrawn') return;
      this.begin(this.steps.transform({ seq }), (transformed) => {
        this.preparing--;
        this.ready.add(seq);
        // Both at once: a batch that is refused in between is counted when it is prepared again.
        this.count(validated);
        this.count(transformed);
      });
    });
  }

  /**
   * One at a time and in the order of the source, and none before the last byte is durable. Where people are asked before
   * anybody sees a row, all are stored at once, and not here.
   */
  private storeNext(): void {
    if (this.input.gate === 'publish') return;
    const { cursor } = this;
    const seq = cursor.stored;
    const isReady = seq < cursor.prepared || this.ready.has(seq);
    if (this.storing || !cursor.sealed || !isReady || seq >= cursor.known) return;
    this.storing = true;
    this.begin(this.steps.store({ seq }), (stored) => {
      this.storing = false;
      this.ready.delete(seq);
      cursor.stored++;
      this.count(stored);
    });
  }

  private begin<T>(work: Promise<T>, onDone: (result: T) => void): void {
    this.underWay++;
    work.then(
      (result) => {
        this.underWay--;
        try {
          onDone(result);
        } catch (error) {
          // Whoever reaches Temporal can complete an activity as they like, and what nobody caught would stop the run for good.
          this.fail(error);
        }
        this.advance();
      },
      (error: unknown) => {
        this.underWay--;
        this.fail(error);
        this.advance();
      },
    );
  }

  /**
   * A withdrawn right lets everything under way come to its end, for it has its own right or is refused by itself. The
   * first failure of another kind ends the others before the run ends, so that nothing is written after its end.
   */
  private fail(error: unknown): void {
    const expected = this.halting && isCancellation(error) && !this.scope.consideredCancelled;
    if (expected || this.failure) return;
    const reason = reasonOf(error);
    if (suspends(reason.code)) this.halt({ cause: 'withdrawn', reason });
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
