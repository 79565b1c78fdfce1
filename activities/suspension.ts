import { type ErrorCode, errors } from '../domain/errors.ts';
import type { FailedAttempt } from '../domain/runs/run.ts';
import type { RunFacts, RunReason } from '../domain/runs/runFacts.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, runOf } from './run.ts';

/** Records that the run waits, and why. A housekeeping step: it needs no current right. Throws `RunEnded`. */
export async function suspendStep(deps: Dependencies, given: RunReason): Promise<{ suspendedForMs: number }> {
  const run = await runOf(deps);
  const reason = withDefinition(run, knownReason(given));
  const audit = audited(deps, 'run.suspended', { code: reason.code });
  return { suspendedForMs: await deps.runs.suspend(run, reason, { ...audit, outcome: 'denied' }) };
}

/**
 * Records that the run continues. The guard has checked every right that the remaining steps need; while one of them is missing,
 * the guard rejects this attempt and the run stays suspended.
 */
export async function resumeStep(deps: Dependencies): Promise<void> {
  const run = await runOf(deps);
  await deps.runs.resume(run, audited(deps, 'run.resumed'));
}

/**
 * The reason to record for a workflow’s reason: one of our codes. Its message is that of the recorded failed attempt, which may name the
 * position of a record, else the code’s own. A client that drives a workflow by hand chooses the arguments of its steps, and
 * other users see the reason.
 */
export function knownReason(given: RunReason | undefined, failed?: FailedAttempt): RunReason {
  const code: unknown = given?.code;
  const known = typeof code === 'string' && Object.hasOwn(errors, code) ? (code as ErrorCode) : 'Internal';
  return { code: known, message: failed?.code === known ? failed.message : errors[known].message };
}

/** Names the missing definition, so that an operator can deploy it again. */
function withDefinition({ pipeline, version, definitionDigest }: RunFacts, reason: RunReason): RunReason {
  if (reason.code !== 'DefinitionUnavailable') return reason;
  const which = `version ${version} of ${pipeline} as this run was accepted with (${definitionDigest.slice(0, 12)})`;
  return { ...reason, message: `No worker has ${which}. Deploy it again, or cancel the run.` };
}
