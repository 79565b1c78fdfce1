import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { liveThrough } from '../../test/e2e/year/year.ts';
import { properties } from '../../test/engine/formatProperties.ts';
import { type DevStack, startDevStack } from '../../test/support/devStack.ts';
import { serveHeldFeed } from '../../test/support/heldFeed.ts';
import { benchProject, gatedProject, repairsProject } from '../project.ts';
import { killBeforePublish, raceDecisions } from './approvals.ts';
import { crowdOfEnvelopes, crowdOfPreviews } from './crowd.ts';
import { deployUnderWay } from './deployment.ts';
import { fireTogether } from './fireTogether.ts';
import { killUnderLoad } from './killUnderLoad.ts';
import { killWorkers } from './killWorkers.ts';
import { changeUnderReaders } from './migration.ts';
import { outage } from './outage.ts';
import { redriveTwice, repairLetters } from './repairLetters.ts';

/*
 * `npm run chaos [-- NAME …]`: kills real processes with SIGKILL while real work goes on, then counts. `workers` also runs
 * its control, with the ledger switched off inside this harness, which must be found out. A killed process is not a
 * power cut: what the operating system holds in memory survives it. `outage` takes PostgreSQL and the policy away for five
 * minutes each. `year` kills nothing, and takes as long as a year of daily runs needs.
 */

const numbers = process.argv
  .slice(2)
  .filter((word) => /^\d+$/.test(word))
  .map(Number);

const { positionals: given, values } = parseArgs({
  allowPositionals: true,
  options: { letters: { type: 'string' }, kills: { type: 'string' } },
});

const campaigns: Record<string, () => Promise<string[]>> = {
  async workers() {
    const own = await withStack({}, (stack) =>
      killWorkers(stack, { rows: 200_000, kills: 20, workers: 'own' }),
    );
    const [guarded, control] = await withStack({ env: { WAYBILL_WORKERS: '0' } }, async (stack) => [
      await killWorkers(stack, { rows: 40_000, kills: 6, workers: 'guarded' }),
      await killWorkers(stack, { rows: 40_000, kills: 6, workers: 'unguarded' }),
    ]);
    return [
      `(${own.killed} kills of the stack’s workers, ${guarded!.killed} between commit and answer)`,
      ...own.violations,
      ...guarded!.violations,
      ...(control!.violations.length > 0 ? [] : ['the control without the ledger was not found out']),
      `(control without the ledger, which must fail: ${control!.violations.join('; ')})`,
    ];
  },
  /** `servers ROWS KILLS EACH`: PostgreSQL and Temporal too, EACH times; takes other numbers than 1,000,000, 100 and 10. */
  servers: () =>
    withStack({}, async (stack) => {
      const [rows = 1_000_000, kills = 100, servers = 10] = numbers;
      const { killed, violations } = await killWorkers(stack, { rows, kills, servers, workers: 'own' });
      return [`(${killed} kills of workers, ${servers} each of PostgreSQL and Temporal)`, ...violations];
    }),
  /** `approvals RACES ROWS` takes other numbers than 10,000 and 1,000,000. */
  approvals: () =>
    withStack({ project: gatedProject }, async (stack) => [
      ...(await raceDecisions(stack, { races: numbers[0] ?? 10_000, atOnce: 48 })),
      ...(await killBeforePublish(stack, numbers[1] ?? 1_000_000)),
    ]),
  /** `repair --letters N --kills N` takes other numbers than 100,000 and 50. */
  async repair() {
    const harm = { letters: Number(values.letters ?? 100_000), kills: Number(values.kills ?? 50) };
    const lines = await withStack({ project: repairsProject }, (stack) => repairLetters(stack, harm));
    const control = await withStack({ project: repairsProject, env: { WAYBILL_WORKERS: '0' } }, redriveTwice);
    return [
      ...lines,
      ...(control.length > 0 ? [] : ['the control without the claim of a letter was not found out']),
      `(control without the claim, which must fail: ${control.join('; ')})`,
    ];
  },
  api: () => underLoad('api'),
  temporal: () => underLoad('temporal'),
  postgres: () => underLoad('postgres'),
  /** `schedules N` takes another number than 500. */
  schedules: () =>
    withStack({ project: benchProject }, (stack) =>
      fireTogether(stack, {
        schedules: numbers[0] ?? 500,
        kill: ['api', 'worker-1', 'temporal', 'worker-2', 'api'],
        jitter: '40s',
      }),
    ),
  /** `crowd ENVELOPES PREVIEWS` takes other numbers than 50 and 420. */
  crowd: () =>
    withStack({ project: benchProject }, async (stack) => [
      ...(await crowdOfEnvelopes(stack, {
        envelopes: numbers[0] ?? 50,
        apiMaxMiB: 1_024,
        healthMaxMs: 2_000,
      })),
      ...(await crowdOfPreviews(stack, { previews: numbers[1] ?? 420, firingMaxMs: 10_000 })),
    ]),
  /** On simulated time, which goes by in minutes. `year DAYS` lives through fewer. */
  async year() {
    const lived = await liveThrough({ days: numbers[0] ?? 365, lifetime: '90d' });
    return 'missing' in lived ? [lived.missing] : [...lived.violations, `(${lived.summary})`];
  },
  /** No process: chunks, batches and kills of the receiver, for each format. `formats RUNS` takes another number than 20,000. */
  async formats() {
    const lines: string[] = [];
    for (const [name, check] of Object.entries(properties)) {
      const wrong = await check(numbers[0] ?? 20_000).then(
        () => undefined,
        (error: Error) => `${name}: ${error.message}`,
      );
      lines.push(wrong ?? `(${name} holds)`);
    }
    return lines;
  },
  /** `deployment RUNS APPROVALS` takes other numbers than 100 and 20. */
  deployment: () => deployUnderWay({ running: numbers[0] ?? 100, waiting: numbers[1] ?? 20 }),
  /** `migration ROWS` takes another number than 10,000,000; PostgreSQL alone. */
  migration: () => changeUnderReaders(numbers[0] ?? 10_000_000),
  async outage() {
    const feed = await serveHeldFeed();
    const project = fileURLToPath(new URL('../../test/support/project', import.meta.url));
    return withStack({ project, env: { WAYBILL_EGRESS_ALLOW: feed.host } }, async (stack) => {
      const lines: string[] = [];
      for (const what of ['database', 'answers', 'policy'] as const) {
        lines.push(...(await outage({ stack, feed }, { of: what, forMs: outageMs, load })));
        lines.push(`(${what} away for ${outageMs / 60_000} minutes)`);
      }
      return lines;
    }).finally(feed.close);
  },
};

const outageMs = 5 * 60_000;
const load = { feeds: 6, longRecords: 1_000, smallRuns: 30 };

function underLoad(name: string): Promise<string[]> {
  return withStack({ project: benchProject }, (stack) =>
    killUnderLoad(stack, { name, kills: 5, perKill: 40 }),
  );
}

async function withStack<T>(
  options: Parameters<typeof startDevStack>[0],
  work: (stack: DevStack) => Promise<T>,
): Promise<T> {
  const stack = await startDevStack(options);
  try {
    return await work(stack);
  } finally {
    await stack.stop();
  }
}

const positionals = given.filter((word) => !/^\d+$/.test(word));
const unknown = positionals.filter((name) => !(name in campaigns));
if (unknown.length > 0) {
  console.error(`No campaign ${unknown.join(', ')}. There are: ${Object.keys(campaigns).join(', ')}.`);
  process.exit(2);
}
for (const name of positionals.length > 0 ? positionals : Object.keys(campaigns)) {
  const lines = await campaigns[name]!();
  const violations = lines.filter((line) => !line.startsWith('('));
  console.log(`${name}: ${violations.length === 0 ? 'held' : 'BROKEN'}`);
  for (const line of lines) console.log(`  ${line}`);
  if (violations.length > 0) process.exitCode = 1;
}
