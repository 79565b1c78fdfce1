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
 * asks again when it is woken and once an hour, for a wake-up may be lost; `resume` succeeds only with every right that
 * the steps to come need. It is given up after as long as the grant of the run would last.
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
  await steps.suspend(reason);
  upsertSearchAttributes({ WaybillState: ['suspended'] });
  for (;;) {
    setCurrentDetails(describeProgress(input, cursor, { state: 'suspended', counts: cursor.counts, reason }));
    const sleptMs = await sleep(input, cursor, awakened);
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

/** Until somebody wakes the run, at most an hour. How long that was is known only of a sleep that came to its end. */
async function sleep({ deadlineMs }: RunInput, cursor: Cursor, awakened: Awakened): Promise<number> {
  const leftMs = deadlineMs - (cursor.suspendedForMs ?? 0);
  const waitMs = Math.max(1, Math.min(askAgainAfterMs, leftMs));
  const woken = await condition(() => awakened.due, waitMs);
  awakened.due = false;
  return woken ? 0 : waitMs;
}
