import {
  CancellationScope,
  condition,
  setCurrentDetails,
  sleep,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { suspends } from '../domain/grants/attemptRejection.ts';
import type { RunReason } from '../domain/runs/runFacts.ts';
import { describeProgress } from './details.ts';
import { reasonOf } from './failure.ts';
import { isHistoryLong } from './history.ts';
import type { Cursor, RunInput } from './messages.ts';
import { stepsOf } from './steps.ts';
import { recheckAfterMs } from './timeouts.ts';

/** Set by a message that may mean a restored right. */
export interface RecheckRequest {
  due: boolean;
}

/**
 * Lifecycle of a suspension: recorded with its reason, then asleep, without a slot, a connection or an activity. The run
 * checks again on a signal, and by itself ever less often (`recheckAfterMs`): the right may have been restored
 * before the suspension was recorded, and a signal may be lost. `resume` succeeds only with every right that the
 * remaining steps need. The run gives up after as long as its grant would last, counted by the record of the run,
 * so that continuing as new does not restart the count.
 *
 * `'history'`: the run continues as new, checks by itself and is suspended again.
 */
export async function waitUntilAuthorized(
  input: RunInput,
  cursor: Cursor,
  revoked: RunReason,
  recheck: RecheckRequest,
): Promise<'resumed' | 'deadline-exceeded' | 'history'> {
  const { suspendedForMs } = await stepsOf(input).suspend(revoked);
  upsertSearchAttributes({ WaybillState: ['suspended'] });
  const deadline = startDeadline(input.deadlineMs - Math.max(0, suspendedForMs));
  try {
    const outcome = await recheckUntilAuthorized(input, cursor, revoked, recheck, deadline);
    if (outcome !== 'deadline-exceeded') upsertSearchAttributes({ WaybillState: ['running'] });
    return outcome;
  } finally {
    deadline.cancel();
  }
}

async function recheckUntilAuthorized(
  input: RunInput,
  cursor: Cursor,
  revoked: RunReason,
  recheck: RecheckRequest,
  deadline: { passed: boolean },
): Promise<'resumed' | 'deadline-exceeded' | 'history'> {
  const steps = stepsOf(input);
  let reason = revoked;
  for (let waits = 0; ; ) {
    const shown = { state: 'suspended', counts: cursor.counts, reason };
    setCurrentDetails(describeProgress(input, cursor, shown));
    await condition(() => recheck.due || deadline.passed, recheckAfterMs[waits] ?? recheckAfterMs.at(-1)!);
    waits = recheck.due ? 0 : waits + 1;
    recheck.due = false;
    const still = await rejectionOf(steps.resume());
    if (!still) break;
    if (still.code !== reason.code) await steps.suspend(still);
    reason = still;
    if (deadline.passed) return 'deadline-exceeded';
    if (isHistoryLong()) return 'history';
  }
  setCurrentDetails(describeProgress(input, cursor));
  return 'resumed';
}

/** Why the run may not continue yet; `undefined` where it may. */
async function rejectionOf(resumed: Promise<void>): Promise<RunReason | undefined> {
  try {
    await resumed;
    return undefined;
  } catch (error) {
    const reason = reasonOf(error);
    if (suspends(reason.code)) return reason;
    throw error;
  }
}

/** One timer for the whole suspension: after a wake-up the workflow does not know how long it slept. */
function startDeadline(ms: number): { passed: boolean; cancel(): void } {
  const waiting = new CancellationScope();
  const deadline = { passed: ms <= 0, cancel: () => waiting.cancel() };
  const pass = () => {
    deadline.passed = true;
  };
  if (ms > 0) waiting.run(() => sleep(ms)).then(pass, () => {});
  return deadline;
}
