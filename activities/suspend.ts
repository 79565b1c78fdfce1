import type { RunReason } from '../domain/ports/progress.ts';
import type { Dependencies } from './index.ts';
import { knownReason } from './reason.ts';
import { audited, runOf } from './run.ts';

/** Records that the run waits, and why. Housekeeping: it needs no current right. Throws `RunEnded`. */
export async function suspendStep(deps: Dependencies, given: RunReason): Promise<{ suspendedForMs: number }> {
  const run = await runOf(deps);
  const reason = knownReason(given);
  const audit = audited(deps, 'run.suspended', { code: reason.code });
  return { suspendedForMs: await deps.progress.suspend(run, reason, { ...audit, outcome: 'denied' }) };
}
