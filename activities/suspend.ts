import type { RunFacts, RunReason } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './index.ts';
import { knownReason } from './reason.ts';
import { audited, runOf } from './run.ts';

/** Records that the run waits, and why. Housekeeping: it needs no current right. Throws `RunEnded`. */
export async function suspendStep(deps: Dependencies, given: RunReason): Promise<{ suspendedForMs: number }> {
  const run = await runOf(deps);
  const reason = withDefinition(run, knownReason(given));
  const audit = audited(deps, 'run.suspended', { code: reason.code });
  return { suspendedForMs: await deps.runs.suspend(run, reason, { ...audit, outcome: 'denied' }) };
}

/** Which code is waited for: whoever deploys it again has to know. */
function withDefinition({ pipeline, version, definitionDigest }: RunFacts, reason: RunReason): RunReason {
  if (reason.code !== 'DefinitionUnavailable') return reason;
  const which = `version ${version} of ${pipeline} as this run was accepted with (${definitionDigest.slice(0, 12)})`;
  return { ...reason, message: `No worker has ${which}. Deploy it again, or cancel the run.` };
}
