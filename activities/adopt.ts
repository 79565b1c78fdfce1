import { WaybillError } from '../domain/errors.ts';
import type { Dependencies } from './index.ts';
import { runOf } from './run.ts';

/**
 * Verifies a grant that is to take the place of the one the run has. The guard has compared signature and binding; the
 * record of the run must agree with it on whose the run is, its trace, definition, source and parameters, and name it as
 * the successor, so that nobody brings an earlier one back. Whether it gives a right today is for the step after it.
 * Throws `GrantMismatch`, `GrantExpired`.
 */
export async function adoptStep(deps: Dependencies): Promise<{ grant: string }> {
  const run = await runOf(deps);
  const { jti, exp } = deps.grant().claims;
  if (jti !== (await deps.runs.findSuccessor(run)))
    throw new WaybillError('GrantMismatch', { detail: `${jti} is not the successor of ${run.runId}` });
  if (deps.nowS() >= exp) throw new WaybillError('GrantExpired');
  return { grant: jti };
}
