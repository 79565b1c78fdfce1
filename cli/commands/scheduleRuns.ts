import { type Command, Option } from 'commander';
import type { BackfillRequest } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import type { CliContext } from '../context.ts';
import { waitForEnd } from '../followToEnd.ts';
import { byId } from '../options.ts';
import { zonedTime } from '../output/scheduleText.ts';
import { printResult } from '../output/terminal.ts';

interface RunOptions extends GlobalOptions {
  idempotencyKey?: string;
  wait?: boolean;
}

interface BackfillOptions extends GlobalOptions {
  from: string;
  to: string;
  mode: NonNullable<BackfillRequest['mode']>;
  dryRun?: boolean;
}

/** `waybill schedules [run|backfill]`: runs of whoever asks, not of the owner. */
export function addScheduleRuns(schedules: Command, context: CliContext): void {
  byId(schedules, 'run', 'begin a run as it would, now and in your own name')
    .option('--idempotency-key <key>', 'the same request with the same key is the same run')
    .option('--wait', 'follow the run to its end; exit code 4 where it fails or is cancelled')
    .action(async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<RunOptions>();
      const { idempotencyKey } = options;
      const client = connect(context, options);
      const { revision } = await client.getSchedule(id);
      const accepted = await client.runSchedule(id, revision, {
        ...(idempotencyKey !== undefined && { idempotencyKey }),
      });
      if (!options.wait) return printResult(options.json, accepted, () => [`Accepted as ${accepted.id}.`]);
      await waitForEnd(client, accepted, options);
    });

  byId(schedules, 'backfill', 'begin runs for times that have passed, in your own name')
    .requiredOption('--from <time>', 'RFC 3339')
    .option('--to <time>', 'RFC 3339; default now')
    .addOption(
      new Option('--mode <mode>', 'times without a run, times whose last run failed, or all')
        .choices(['missing', 'failed', 'all'])
        .default('missing'),
    )
    .option('--dry-run', 'only say which times')
    .action((id: string, _, command: Command) => backfill(id, command.optsWithGlobals(), context));
}

async function backfill(id: string, options: BackfillOptions, context: CliContext): Promise<void> {
  const { from, to = new Date().toISOString(), mode, dryRun = false, json } = options;
  const client = connect(context, options);
  const { revision, terms } = await client.getSchedule(id);
  const filled = await client.backfillSchedule(id, { revision, from, to, mode, dryRun });
  const { timeZone } = terms;
  printResult(json, filled, () =>
    filled.items.length === 0
      ? ['There is no such time.']
      : [
          ...filled.items.map(({ at, run }) => `${zonedTime(at, timeZone)}  ${run ?? 'would be run'}`),
          ...(filled.more ? ['', `There are more: --from after ${filled.items.at(-1)!.at}`] : []),
        ],
  );
}
