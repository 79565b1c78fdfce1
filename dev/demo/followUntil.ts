import { hasEnded } from '../../domain/runs/run.ts';
import { ProblemError, type Run, type WaybillClient } from '../../sdk/client.ts';

/** The run at the first change that `reached` accepts, or at its end. */
export async function followUntil(
  client: WaybillClient,
  id: string,
  reached: (run: Run) => boolean,
): Promise<Run> {
  for await (const run of client.followRun(id)) if (reached(run) || hasEnded(run.state)) return run;
  throw new Error(`${id} can no longer be followed.`);
}

/** The code of the rejection; `undefined` if there was none. */
export async function rejectionCodeOf(request: Promise<unknown>): Promise<string | undefined> {
  try {
    await request;
    return undefined;
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
}
