import type { Command } from 'commander';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { ScheduleTerms } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import { type CliContext, CliError } from '../context.ts';
import { byId } from '../options.ts';
import { draftLines } from '../output/scheduleText.ts';
import { canAsk, confirmed, printResult, tell } from '../output/terminal.ts';
import { nextTimes, savedLines } from '../savedSchedule.ts';
import { addTerms, addWithout, type TermsOptions, termsFrom } from '../scheduleTerms.ts';

interface SaveOptions extends GlobalOptions, TermsOptions {
  id?: string;
  note?: string;
  lifetime?: string;
  paused?: boolean;
  mine?: boolean;
  yes?: boolean;
}

/** `waybill schedules [create|update|renew]`: what somebody consents to. */
export function addScheduleSaving(schedules: Command, context: CliContext): void {
  saving(schedules.command('create').description('have a pipeline run in your name').argument('<pipeline>'))
    .option('--id <id>', 'what to call it; default the pipeline and a few letters')
    .option('--paused', 'saved, and begins nothing before it is resumed')
    .action((pipeline: string, _, command: Command) => create(pipeline, command.optsWithGlobals(), context));

  addWithout(saving(byId(schedules, 'update', 'change what a schedule does; its owner has to agree')))
    .option('--mine', 'make it yours: from then on it runs in your name')
    .action((id: string, _, command: Command) => update(id, command.optsWithGlobals(), context));

  byId(schedules, 'renew', 'consent anew to what a schedule of yours does, as it is now')
    .option('--lifetime <duration>', 'how long that lasts; at most and by default 90d')
    .option('--yes', 'do not ask')
    .action((id: string, _, command: Command) => renew(id, command.optsWithGlobals(), context));
}

function saving(command: Command): Command {
  return addTerms(command)
    .option('--note <text>', 'for whoever looks at it')
    .option('--lifetime <duration>', 'how long the consent lasts; at most and by default 90d')
    .option('--yes', 'do not ask: save it');
}

async function create(pipelineId: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const terms = termsFrom(options, await client.getPipeline(pipelineId));
  const next = await nextTimes(client, terms, { pipeline: pipelineId, terms });
  await agree(pipelineId, terms, next, options);
  const { id, note, lifetime, paused } = options;
  const schedule = await client.createSchedule({
    pipeline: pipelineId,
    terms,
    ...(id !== undefined && { id }),
    ...(note !== undefined && { note }),
    ...(lifetime !== undefined && { lifetime }),
    ...(paused && { paused }),
  });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

async function update(id: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const before = await client.getSchedule(id);
  const terms = termsFrom(options, await client.getPipeline(before.pipeline), before.terms);
  const { note, lifetime, mine } = options;
  const asksAnew = mine || canonicalJson(terms) !== canonicalJson(before.terms);
  const draft = asksAnew ? { pipeline: before.pipeline, terms } : undefined;
  await agree(before.pipeline, terms, await nextTimes(client, terms, draft), options);
  // What somebody else has changed meanwhile was not what was shown.
  const schedule = await client.updateSchedule(id, {
    revision: before.revision,
    terms,
    ...(note !== undefined && { note }),
    ...(lifetime !== undefined && { lifetime }),
    ...(mine && { owner: 'me' as const }),
  });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

async function renew(id: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const { pipeline, terms, note, revision } = await client.getSchedule(id);
  await client.renewSchedule(id, revision, { dryRun: true });
  const next = await nextTimes(client, terms);
  await agree(pipeline, terms, next, { ...options, ...(note !== null && { note }) });
  const { lifetime } = options;
  const schedule = await client.renewSchedule(id, revision, { ...(lifetime !== undefined && { lifetime }) });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

/** Nobody consents to times that they have not seen, nor is shown what they would not be let save. */
async function agree(
  pipeline: string,
  terms: ScheduleTerms,
  next: readonly string[],
  { yes, note, json }: SaveOptions,
): Promise<void> {
  const asks = !yes;
  if (asks && !canAsk(json))
    throw new CliError('There is nobody to ask: say --yes to save what is asked for.', 'usage');
  for (const line of draftLines(pipeline, terms, next, note)) tell(line);
  if (asks && !(await confirmed('Do you consent to this?'))) throw new CliError('Nothing was saved.');
}
