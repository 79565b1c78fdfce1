import { type Command, Option } from 'commander';
import type { Backfill, BackfillRequest, ScheduleDetail, WaybillClient } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import type { CliContext } from '../context.ts';
import { waitForEnd } from '../followToEnd.ts';
import { addByIdCommand } from '../options.ts';
import { changedLines, zonedTime } from '../output/scheduleText.ts';
import { printResult, tell } from '../output/terminal.ts';

interface RunOptions extends GlobalOptions {
  idempotencyKey?: string;
  wait?: boolean;
}

interface BackfillOptions extends GlobalOptions {
  from: string;
  to: string;
  mode: Mode;
  dryRun?: boolean;
}

type Mode = NonNullable<BackfillRequest['mode']>;

/** `waybill schedules [run|backfill]`: runs of the caller, not of the owner. */
export function addScheduleRuns(schedules: Command, context: CliContext): void {
  addByIdCommand(schedules, 'run', 'start a run as the schedule would, now and in your own name')
    .option('--idempotency-key <key>', 'the same request with the same key returns the same run')
    .option('--wait', 'follow the run to its end; exit code 4 if it fails or is cancelled')
    .action((id: string, _, command: Command) => run(id, command.optsWithGlobals(), context));

  addByIdCommand(schedules, 'backfill', 'start runs for past times, in your own name')
    .requiredOption('--from <time>', 'the first time to fill; RFC 3339')
    .option('--to <time>', 'the last time to fill; RFC 3339; default now')
    .addOption(
      new Option('--mode <mode>', 'times without a run, times with a failed last run, or all')
        .choices(['missing', 'failed', 'all'])
        .default('missing'),
    )
    .option('--dry-run', 'only list the times')
    .action((id: string, _, command: Command) => backfill(id, command.optsWithGlobals(), context));
}

async function run(id: string, options: RunOptions, context: CliContext): Promise<void> {
  const { idempotencyKey } = options;
  const client = connect(context, options);
  const { revision } = await shownSchedule(client, id);
  const accepted = await client.runSchedule(id, revision, {
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  });
  if (!options.wait) return printResult(options.json, accepted, () => [`Accepted as ${accepted.id}.`]);
  await waitForEnd(client, accepted, options);
}

async function backfill(id: string, options: BackfillOptions, context: CliContext): Promise<void> {
  const { from, to = new Date().toISOString(), mode, dryRun = false, json } = options;
  const client = connect(context, options);
  const { revision, terms } = await shownSchedule(client, id);
  const filled = await client.backfillSchedule(id, { from, to, mode, dryRun, revision });
  printResult(json, filled, () => filledLines(filled, mode, terms.timeZone));
}

/**
 * The schedule; the request then names its revision. The API rejects what the owner has not consented to; the command shows
 * what another caller has made of it.
 */
async function shownSchedule(client: WaybillClient, id: string): Promise<ScheduleDetail> {
  const schedule = await client.getSchedule(id);
  if (schedule.reason?.code === 'ConsentRequired') for (const line of changedLines(schedule)) tell(line);
  return schedule;
}

function filledLines(
  { items, more, leftOut, disputed }: Backfill,
  mode: Mode,
  timeZone: string | undefined,
): string[] {
  const others = Object.entries(leftOut).map(([state, times]) => `${times} ${state}`);
  const ended = (leftOut.failed ?? 0) + (leftOut.cancelled ?? 0) > 0;
  const hint =
    mode === 'missing' && ended ? ' Use --mode failed to run failed and cancelled times again.' : '';
  return [
    ...(items.length === 0
      ? [
          others.length === 0
            ? 'The schedule has no time in this range.'
            : 'No time of the range matches the mode.',
        ]
      : items.map(({ at, run }) => `${zonedTime(at, timeZone)}  ${run ?? 'would run'}`)),
    ...(others.length > 0
      ? [`Other times of the range, by the state of their last run: ${others.join(', ')}.${hint}`]
      : []),
    ...(disputed > 0
      ? [
          `Left out: ${disputed} times on which Temporal and Waybill disagree, because their rules for ${timeZone} differ.`,
        ]
      : []),
    ...(more ? [`There are more times. Continue with --from after ${items.at(-1)?.at}.`] : []),
  ];
}
