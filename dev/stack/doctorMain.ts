import { exitCode } from '../../cli/context.ts';
import { tell } from '../../cli/output/terminal.ts';
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
  if (json) console.log(JSON.stringify({ checks }));
  else
    for (const { name, ok, detail } of checks) console.log(`${ok ? '✓' : '✗'} ${name.padEnd(12)} ${detail}`);
  if (checks.every(({ ok }) => ok)) return;
  tell('Something is missing; the lines with ✗ say what to do.');
  process.exitCode = exitCode.failed;
});
