import type { Run, WaybillClient } from '../sdk/client.ts';
import type { GlobalOptions } from './connect.ts';
import { exitCodeOf, followToEnd, refusalsOf } from './followToEnd.ts';
import { printResult, tell } from './output/print.ts';
import { endLines } from './output/runText.ts';

/** `--wait` of whatever begins a run: follows it to its end and shows that, with the exit code that says how it ended. */
export async function waitForEnd(
  client: WaybillClient,
  accepted: Run,
  { json, as }: GlobalOptions,
): Promise<void> {
  tell(`Accepted as ${accepted.id}.`);
  const run = await followToEnd(client, accepted.id, { as });
  const rejections = await refusalsOf(client, run);
  printResult(json, run, () => endLines(run, rejections));
  process.exitCode = exitCodeOf(run);
}
