import { WaybillError } from '../domain/errors.ts';
import type { Dependencies } from './dependencies.ts';
import { runOf } from './run.ts';

/**
 * Verifies a grant that is to replace the run’s grant. The guard has checked signature and binding. The record of the run must
 * agree with the new grant on principal, trace, definition, source and parameters, and must name it as the successor, so that no
 * client can bring an earlier grant back. The next step checks its current right.
 * Throws `GrantMismatch`, `GrantExpired`.
 */
export async function replaceGrantStep(deps: Dependencies): Promise<{ grant: string }> {
  const run = await runOf(deps);
  const { jti, exp } = deps.grant().claims;
  if (jti !== (await deps.runs.findSuccessor(run)))
    throw new WaybillError('GrantMismatch', { detail: `${jti} is not the successor of ${run.runId}` });
  if (deps.nowS() >= exp) throw new WaybillError('GrantExpired');
  return { grant: jti };
}
