import { readClientSettings } from '../../cli/cliSettings.ts';
import { connect, runningStack } from '../../cli/connect.ts';
import { type CliContext, CliError, exitCode } from '../../cli/context.ts';
import { followToEnd } from '../../cli/followToEnd.ts';
import { printResult, tell } from '../../cli/output/terminal.ts';
import { dataOf, uploadData } from '../../cli/upload.ts';
import { ndjsonFormat } from '../../connectors/formats/ndjson/index.ts';
import { runProgram } from '../program.ts';
import { packageFile } from '../stack/nodeService.ts';
import { attemptLines } from './attack.ts';
import { attackStack, type Report } from './attackStack.ts';

/** `waybill attack`: what an attacker may try, against the embedded stack that runs. */
await runProgram(process.env, async ({ context, json }) => {
  const report = await attack(context, json);
  printResult(json, report, () => summaryLines(report));
  if (!report.held) process.exitCode = exitCode.tampered;
});

async function attack(context: CliContext, json: boolean): Promise<Report> {
  const dev = runningStack(readClientSettings(context).WAYBILL_HOME);
  const cast = {
    alice: connect(context, { as: 'alice' }),
    carol: connect(context, { as: 'carol' }),
    erin: connect(context, { as: 'erin' }),
  };
  const sample = await dataOf(packageFile('examples/acme/data/orders.ndjson'));
  const { items } = await cast.alice.listPipelines();
  if (!items.some(({ id }) => id === 'orders'))
    throw new CliError('The stack that is up serves another project; attack examples/acme instead.');
  const accepted = await uploadData(cast.alice, 'orders', sample, { mediaType: ndjsonFormat.mediaType });
  const victim = await followToEnd(cast.alice, accepted.id);
  let last = '';
  return attackStack(dev, victim, cast, (place, attempted) => {
    const say = json ? tell : (line: string) => void process.stdout.write(`${line}\n`);
    if (place !== last) say(`\n${place}`);
    last = place;
    for (const line of attemptLines(attempted)) say(`  ${line}`);
  });
}

function summaryLines({ attempts, underWay, held }: Report): string[] {
  const through = attempts.filter((one) => !one.held).length;
  return [
    '',
    held
      ? `${attempts.length} attempts, each refused and on record; no row of a run, a batch or a table was touched.`
      : `${through} of ${attempts.length} attempts did not end as they have to.`,
    `Alice’s own run, under way all the while: ${underWay.id} ${underWay.state}.`,
  ];
}
