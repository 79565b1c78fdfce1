import { condition, setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { RunReason } from '../domain/ports/progress.ts';
import { suspends } from '../domain/refusal.ts';
import { describeProgress } from './details.ts';
import { reasonOf } from './failure.ts';
import type { Cursor, RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';
import { askAgainAfterMs, historyEventsMax } from './timeouts.ts';

/** Set by whatever may have given a right back. */
export interface Awakened {
  due: boolean;
}

/**
 * Lifecycle of a suspension: recorded with its reason, then asleep, without a slot, a connection or an activity. It
 * asks again when it is woken, and by itself ever less often (`askAgainAfterMs`); `resume` succeeds only with every right
 * that the steps to come need. It is given up after as long as the grant of the run would last.
 *
 * `'history'`: the rest belongs into a new execution, which will ask by itself and be suspended again.
 */
export async function untilRightIsBack(
  input: RunInput,
  cursor: Cursor,
  withdrawn: RunReason,
  awakened: Awakened,
): Promise<'resumed' | 'overdue' | 'history'> {
  const steps = stepsOf(input);
  let reason = withdrawn;
  let waits = 0;
  await steps.suspend(reason);
  upsertSearchAttributes({ WaybillState: ['suspended'] });
  for (;;) {
    setCurrentDetails(describeProgress(input, cursor, { state: 'suspended', counts: cursor.counts, reason }));
    const sleptMs = await sleep(input, cursor, awakened, waits);
    waits = sleptMs === 0 ? 0 : waits + 1;
    cursor.suspendedForMs = (cursor.suspendedForMs ?? 0) + sleptMs;
    try {
      await steps.resume();
      break;
    } catch (error) {
      const still = reasonOf(error);
      if (!suspends(still.code)) throw error;
      if (still.code !== reason.code) await steps.suspend(still);
      reason = still;
    }
    if (cursor.suspendedForMs >= input.deadlineMs) return 'overdue';
    const { continueAsNewSuggested, historyLength } = workflowInfo();
    if (continueAsNewSuggested || historyLength > historyEventsMax) return 'history';
  }
  delete cursor.suspendedForMs;
  upsertSearchAttributes({ WaybillState: ['running'] });
  setCurrentDetails(describeProgress(input, cursor));
  return 'resumed';
}

/** Until somebody wakes the run. How long that was is known only of a sleep that came to its end; of another it is 0. */
async function sleep(
  { deadlineMs }: RunInput,
  cursor: Cursor,
  awakened: Awakened,
  waits: number,
): Promise<number> {
  const leftMs = deadlineMs - (cursor.suspendedForMs ?? 0);
  const waitMs = Math.max(1, Math.min(askAgainAfterMs[waits] ?? askAgainAfterMs.at(-1)!, leftMs));
  const woken = await condition(() => awakened.due, waitMs);
  awakened.due = false;
  return woken ? 0 : waitMs;
}
