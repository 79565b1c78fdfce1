import { WaybillError } from '../domain/errors.ts';
import type { Dependencies } from './index.ts';
import { runOf } from './run.ts';

/**
 * Verifies a grant that is to take the place of the one the run has. The guard has compared signature and binding; the
 * record of the run must agree with it on whose the run is, its trace, definition, source and parameters, so a
 * successor is never wider. Whether it gives a right today is for the step after it. Throws `GrantExpired`.
 */
export async function adoptStep(deps: Dependencies): Promise<{ grant: string }> {
  await runOf(deps);
  const { jti, exp } = deps.grant().claims;
  if (deps.nowS() >= exp) throw new WaybillError('GrantExpired');
  return { grant: jti };
}
