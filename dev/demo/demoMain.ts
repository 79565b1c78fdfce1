import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { styleText } from 'node:util';
import { readClientSettings } from '../../cli/cliSettings.ts';
import { connect, runningStack } from '../../cli/connect.ts';
import { type CliContext, CliError } from '../../cli/context.ts';
import type { DevJson } from '../../cli/embedded/devJson.ts';
import { exitCodeOf, followToEnd } from '../../cli/followToEnd.ts';
import { count } from '../../cli/output/quantities.ts';
import { countLines, outcomeText } from '../../cli/output/runText.ts';
import { zonedTime } from '../../cli/output/scheduleText.ts';
import { table } from '../../cli/output/table.ts';
import { plain, tell } from '../../cli/output/terminal.ts';
import { dataOf, uploadData } from '../../cli/upload.ts';
import { connectors } from '../../connectors/index.ts';
import type { FormatManifest } from '../../domain/pipelines/manifest.ts';
import type { Run, WaybillClient } from '../../sdk/client.ts';
import { attemptLines } from '../attack/attack.ts';
import { startByHand } from '../attack/attackStack.ts';
import { runProgram } from '../program.ts';
import { packageFile } from '../stack/nodeService.ts';
import { approve } from './approval.ts';
import { mostFrequentSpecies, type RejectedOrder, readDeadLetters, speciesQuery } from './database.ts';
import { repairOrder } from './repair.ts';
import { revokeRequester } from './revocation.ts';
import { stackForDemo } from './stackForDemo.ts';
import { scheduleCountries, type Tomorrow } from './tomorrow.ts';

/** `waybill demo`: the tour, in the stack that runs or in one of its own. */
await runProgram(process.env, async ({ context, json }) => {
  const birdstrikes = dataFile('node_modules/vega-datasets/data/birdstrikes.csv');
  const interrupted = interruption();
  const stack = await stackForDemo(context, interrupted);
  try {
    await Promise.race([tour(context, json, birdstrikes), interrupted.then(refuse)]);
    if (stack.started) await farewell(json, interrupted);
  } finally {
    await stack.end();
  }
});

async function tour(context: CliContext, json: boolean, birdstrikesFile: string): Promise<void> {
  const say = json ? tell : (line: string) => void process.stdout.write(`${line}\n`);
  const { WAYBILL_HOME: home } = readClientSettings(context);
  const dev = runningStack(home);
  const client = connect(context, { as: 'alice' });

  say(
    heading(1, 'alice sends 10,000 reports of aircraft that met birds, in one HTTP call, and bob approves'),
  );
  const bob = connect(context, { as: 'bob' });
  const sent = await send(client, 'birdstrikes', birdstrikesFile);
  const approved = await approve(client, bob, sent.id, (line) => say(`  ${line}`));
  const birdstrikes = approved.ended;
  for (const line of endLines(birdstrikes)) say(line);
  for (const line of birdstrikesLines(birdstrikes)) say(`  ${line}`);
  const frequent = await mostFrequentSpecies(dev);
  say(
    `  In PostgreSQL: ${frequent.map((row) => `${row.species} ${count(Number(row.count))}`).join(', ')}, …`,
  );

  say(heading(2, 'alice sends nine orders, and not all of them are good'));
  const { id: ordersId } = await send(client, 'orders', packageFile('examples/acme/data/orders.ndjson'));
  const orders = await followToEnd(client, ordersId, { indent: '  ' });
  for (const line of endLines(orders)) say(line);
  const deadLetters = await readDeadLetters(dev, orders.id);
  for (const line of ordersLines(deadLetters)) say(`  ${line}`);

  say(heading(3, 'bob repairs one of the rejected orders'));
  const repaired = await repairOrder(bob, orders.id, (line) => say(`  ${line}`));
  for (const line of endLines(repaired.redrive)) say(line);

  say(
    heading(
      4,
      'an attacker starts runs in Temporal itself, past Waybill, with copies of the input of alice’s run',
    ),
  );
  const attacks = await startByHand(dev, orders, (attempted) => {
    for (const line of attemptLines(attempted)) say(`  ${line}`);
  });
  say('  No step of them has touched any data, and each is in the audit. npx waybill attack tries more.');

  say(heading(5, 'carol revokes alice while her data is on its way'));
  const carol = connect(context, { as: 'carol' });
  const revocation = await revokeRequester(client, carol, (line) => say(`  ${line}`));
  for (const line of endLines(revocation.ended)) say(line);

  say(heading(6, 'alice has the countries read each morning, in her name'));
  const tomorrow = await scheduleCountries(context);
  for (const line of scheduleLines(tomorrow)) say(`  ${line}`);

  say(heading(7, 'where to look'));
  for (const line of whereToLook(dev, birdstrikes, `${relative('', join(home, 'dev.json'))}`, speciesQuery))
    say(`  ${line}`);
  if (json)
    process.stdout.write(
      `${JSON.stringify({ birdstrikes, approved, orders, deadLetters, repaired, attacks, revocation, tomorrow })}\n`,
    );
  process.exitCode =
    exitCodeOf(birdstrikes) ||
    exitCodeOf(orders) ||
    exitCodeOf(repaired.redrive) ||
    exitCodeOf(revocation.ended);
  if (approved.byRequester !== 'ApproverIsRequester')
    throw new CliError('The requester could approve her own run.', 'tampered');
  if (revocation.suspended.state !== 'suspended' || revocation.requestErrors !== 'PrincipalRevoked')
    throw new CliError('A run went on after its requester was revoked.', 'tampered');
  if (!attacks.every(({ held }) => held))
    throw new CliError('An invalid grant was not rejected.', 'tampered');
}

async function send(client: WaybillClient, pipeline: string, file: string): Promise<Run> {
  const { source } = await client.getPipeline(pipeline).catch((error) => {
    if (error.code !== 'PipelineNotFound') throw error;
    throw new CliError(
      'The stack that is up serves another project. Stop it, or set WAYBILL_HOME to an empty folder.',
    );
  });
  const { mediaType } = connectors.format(source.format as FormatManifest).kind;
  return uploadData(client, pipeline, await dataOf(file), { mediaType }, '  ');
}

function endLines(run: Run): string[] {
  return [`  ${outcomeText(run)}`, ...countLines(run).map((line) => `    ${line}`)];
}

function birdstrikesLines({ counts: { unchanged } }: Run): string[] {
  return [
    'Every record that is read and every row that comes of it has an end, so both sums add up, or the run fails.',
    'The file has no key, so a whole row is its own: 24 of the 10,000 rows are equal to one before, 9,976 are distinct.',
    ...(unchanged > 0 ? ['All of it was there already, so nothing was written again.'] : []),
  ];
}

function ordersLines(deadLetters: readonly RejectedOrder[]): string[] {
  return [
    'The shop’s own test order is filtered. One order came twice: the later one counts. Each rejected record is kept',
    'with the reason and its bytes (table waybill.dead_letter):',
    ...table<RejectedOrder>(
      [
        { title: 'LINE', align: 'right', cell: ({ line }) => String(line) },
        { title: 'CODE', cell: ({ code }) => plain(code) },
        { title: 'FIELD', cell: ({ path }) => plain(path) },
        { title: 'WHY', cell: ({ message }) => plain(message) },
      ],
      deadLetters,
    ).map((line) => `  ${line}`),
  ];
}

function scheduleLines({ schedule: { terms, delegation }, next }: Tomorrow): string[] {
  return [
    `Next at ${zonedTime(next, terms.timeZone)} (${terms.timeZone}), as Temporal computes it.`,
    `She has consented to exactly this, until ${delegation?.expiresAt.slice(0, 10) ?? 'she does'}. Each time Waybill asks again whether she still may;`,
    'where she may not, nothing begins, and the schedule says why. npx waybill schedules get countries --as alice',
  ];
}

function whereToLook(dev: DevJson, { id, links }: Run, devJson: string, sql: string): string[] {
  const rows = [
    ['the run in Temporal’s Web UI', links.temporal ?? dev.temporalUiUrl],
    ['the API, to try out', `${dev.apiUrl}/docs`],
    ['on the command line', `npx waybill runs get ${id} --as alice`],
    ['in the database', sql],
    ['', `(its URL is databaseUrl in ${devJson})`],
  ] as const;
  return rows.map(([what, where]) => `${styleText('dim', what.padEnd(28))}  ${where}`);
}

function heading(n: number, text: string): string {
  return `\n${styleText('bold', `${n}  ${text}`)}`;
}

function dataFile(path: string): string {
  const file = packageFile(path);
  if (existsSync(file)) return file;
  throw new CliError(`${path} is missing: run npm ci with its development dependencies.`);
}

/** Resolves with Ctrl-C, so that the stack is stopped on the way out. */
function interruption(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve());
  });
}

function refuse(): never {
  throw new CliError('Interrupted.', 'incomplete');
}

/** On a terminal the user may want to look around first. */
async function farewell(json: boolean, interrupted: Promise<void>): Promise<void> {
  if (json) return;
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    return console.log('\nThe stack stops with the demo. npm start brings it back, with all of this in it.');
  console.log(
    '\nThe stack stays up until you press Enter. npm start brings it back, with all of this in it.',
  );
  const entered = new Promise<void>((resolve) => process.stdin.once('data', () => resolve()));
  await Promise.race([entered, interrupted]);
  process.stdin.pause();
}
