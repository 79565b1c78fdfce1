import { type CliContext, exitCode } from '../../cli/context.ts';
import { databaseOf } from '../../cli/database.ts';
import { bytes, count } from '../../cli/output/quantities.ts';
import { tell } from '../../cli/output/terminal.ts';
import { type Kept, keptIn } from '../../sdk/project.ts';
import { searchFromEnvironment } from '../binaries/temporalBinary.ts';
import { runProgram } from '../program.ts';
import { examine } from './examine.ts';
import { readStackSettings } from './stackSettings.ts';

/** `waybill doctor`: what `waybill dev` needs of this machine, and what to do where something is missing. */
await runProgram(process.env, async ({ context, json }) => {
  const checks = await examine({
    settings: readStackSettings(context),
    search: searchFromEnvironment(context.env),
    zoneInfo: context.env.ZONEINFO,
  });
  const kept = await keptOf(context);
  if (json) console.log(JSON.stringify({ checks, kept }));
  else {
    for (const { name, ok, detail } of checks) console.log(`${ok ? '✓' : '✗'} ${name.padEnd(12)} ${detail}`);
    for (const one of kept ?? [])
      console.log(
        `· kept for ${one.tenant}: ${count(one.runs)} runs, ${count(one.deadLetters)} dead letters, input of ` +
          `${bytes(one.inputBytes)} in ${count(one.batches)} batches`,
      );
  }
  if (checks.every(({ ok }) => ok)) return;
  tell('Something is missing; the lines with ✗ say what to do.');
  process.exitCode = exitCode.failed;
});

/** By tenant, of the database of the environment or of the embedded stack; `null` where none is up. */
async function keptOf(context: CliContext): Promise<Kept[] | null> {
  try {
    return await keptIn(databaseOf(undefined, context));
  } catch {
    return null;
  }
}
