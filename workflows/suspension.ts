import {
  CancellationScope,
  condition,
  setCurrentDetails,
  sleep,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { suspends } from '../domain/grants/refusal.ts';
import type { RunReason } from '../domain/runs/runFacts.ts';
import { describeProgress } from './details.ts';
import { reasonOf } from './failure.ts';
import { isHistoryLong } from './history.ts';
import type { Cursor, RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';
import { askAgainAfterMs } from './timeouts.ts';

/** Set by whatever may have given a right back. */
export interface RecheckRequest {
  due: boolean;
}

/**
 * Lifecycle of a suspension: recorded with its reason, then asleep, without a slot, a connection or an activity. It
 * asks again when it is woken, and by itself ever less often (`askAgainAfterMs`): what gave the right back may have come
 * before the suspension was recorded, and a wake-up may be lost. `resume` succeeds only with every right that the
 * steps to come need. It is given up after as long as the grant of the run would last, counted by the record of the run,
 * so that continuing as new does not begin it again.
 *
 * `'history'`: the rest belongs into a new execution, which will ask by itself and be suspended again.
 */
export async function waitUntilAuthorized(
  input: RunInput,
  cursor: Cursor,
  withdrawn: RunReason,
  awakened: RecheckRequest,
): Promise<'resumed' | 'overdue' | 'history'> {
  const { suspendedForMs } = await stepsOf(input).suspend(withdrawn);
  upsertSearchAttributes({ WaybillState: ['suspended'] });
  const patience = patienceFor(input.deadlineMs - suspendedForMs);
  try {
    const outcome = await askAgain(input, cursor, withdrawn, awakened, patience);
    if (outcome !== 'overdue') upsertSearchAttributes({ WaybillState: ['running'] });
    return outcome;
  } finally {
    patience.end();
  }
}

async function askAgain(
  input: RunInput,
  cursor: Cursor,
  withdrawn: RunReason,
  awakened: RecheckRequest,
  patience: { over: boolean },
): Promise<'resumed' | 'overdue' | 'history'> {
  const steps = stepsOf(input);
  let reason = withdrawn;
  for (let waits = 0; ; ) {
    const shown = { state: 'suspended', counts: cursor.counts, reason };
    setCurrentDetails(describeProgress(input, cursor, shown));
    await condition(() => awakened.due || patience.over, askAgainAfterMs[waits] ?? askAgainAfterMs.at(-1)!);
    waits = awakened.due ? 0 : waits + 1;
    awakened.due = false;
    const still = await refusalOf(steps.resume());
    if (!still) break;
    if (still.code !== reason.code) await steps.suspend(still);
    reason = still;
    if (patience.over) return 'overdue';
    if (isHistoryLong()) return 'history';
  }
  setCurrentDetails(describeProgress(input, cursor));
  return 'resumed';
}

/** Why the run may still not go on; `undefined` where it may. */
async function refusalOf(resumed: Promise<void>): Promise<RunReason | undefined> {
  try {
    await resumed;
    return undefined;
  } catch (error) {
    const reason = reasonOf(error);
    if (suspends(reason.code)) return reason;
    throw error;
  }
}

/** One timer for the whole of it, since nobody knows how long a sleep was from which one was woken. */
function patienceFor(ms: number): { over: boolean; end(): void } {
  const waiting = new CancellationScope();
  const patience = { over: ms <= 0, end: () => waiting.cancel() };
  const isOver = () => {
    patience.over = true;
  };
  if (ms > 0) waiting.run(() => sleep(ms)).then(isOver, () => {});
  return patience;
}
