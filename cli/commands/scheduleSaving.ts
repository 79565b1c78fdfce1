import type { Command } from 'commander';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { SchedulePreview, ScheduleTerms } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import { type CliContext, CliError } from '../context.ts';
import { addByIdCommand } from '../options.ts';
import { consentChangeLines, draftLines } from '../output/scheduleText.ts';
import { canAsk, confirmed, printResult, tell } from '../output/terminal.ts';
import { previewTerms, savedLines } from '../savedSchedule.ts';
import { addTerms, addUnset, type TermsOptions, termsFrom } from '../scheduleTerms.ts';

interface SaveOptions extends GlobalOptions, TermsOptions {
  id?: string;
  note?: string;
  lifetime?: string;
  paused?: boolean;
  takeOwnership?: boolean;
  yes?: boolean;
}

/** `waybill schedules [create|update|renew]`: the commands by which a user consents. */
export function addScheduleSaving(schedules: Command, context: CliContext): void {
  saving(
    schedules
      .command('create')
      .description('create a schedule that runs a pipeline in your name')
      .argument('<pipeline>'),
  )
    .option('--id <id>', 'the id of the schedule; default: the pipeline and a few letters')
    .option('--paused', 'save it paused; it starts no run until you resume it')
    .action((pipeline: string, _, command: Command) => create(pipeline, command.optsWithGlobals(), context));

  addUnset(saving(addByIdCommand(schedules, 'update', 'change a schedule; its owner has to consent')))
    .option('--take-ownership', 'become the owner: the schedule then runs in your name')
    .action((id: string, _, command: Command) => update(id, command.optsWithGlobals(), context));

  addByIdCommand(schedules, 'renew', 'renew your consent to one of your schedules, as it is now')
    .option('--lifetime <duration>', 'how long the consent lasts; default and maximum 90d')
    .option('--yes', 'save without asking')
    .action((id: string, _, command: Command) => renew(id, command.optsWithGlobals(), context));
}

function saving(command: Command): Command {
  return addTerms(command)
    .option('--note <text>', 'a note that readers of the schedule see')
    .option('--lifetime <duration>', 'how long the consent lasts; default and maximum 90d')
    .option('--yes', 'save without asking');
}

async function create(pipelineId: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const terms = termsFrom(options, await client.getPipeline(pipelineId));
  const { id, note, lifetime, paused } = options;
  const draft = { pipeline: pipelineId, terms, ...(lifetime !== undefined && { lifetime }) };
  await agree(pipelineId, terms, await previewTerms(client, terms, draft), options);
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
  const { note, lifetime, takeOwnership } = options;
  const asksAnew = takeOwnership || canonicalJson(terms) !== canonicalJson(before.terms);
  const draft = asksAnew
    ? { pipeline: before.pipeline, terms, ...(lifetime !== undefined && { lifetime }) }
    : undefined;
  await agree(before.pipeline, terms, await previewTerms(client, terms, draft), options);
  // The revision makes the API reject the request if another caller has changed the schedule since it was shown.
  const schedule = await client.updateSchedule(id, {
    revision: before.revision,
    terms,
    ...(note !== undefined && { note }),
    ...(lifetime !== undefined && { lifetime }),
    ...(takeOwnership && { owner: 'me' as const }),
  });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

async function renew(id: string, options: SaveOptions, context: CliContext): Promise<void> {
  const client = connect(context, options);
  const shown = await client.getSchedule(id);
  const { pipeline, terms, note, revision } = shown;
  await client.renewSchedule(id, revision, { dryRun: true });
  const { lifetime } = options;
  const draft = { pipeline, terms, ...(lifetime !== undefined && { lifetime }) };
  const preview = await previewTerms(client, terms, draft);
  await agree(
    pipeline,
    terms,
    preview,
    { ...options, ...(note !== null && { note }) },
    consentChangeLines(shown),
  );
  const schedule = await client.renewSchedule(id, revision, { ...(lifetime !== undefined && { lifetime }) });
  printResult(options.json, schedule, () => savedLines(schedule, options));
}

/** Shows what is to be saved, and asks for consent. */
async function agree(
  pipeline: string,
  terms: ScheduleTerms,
  preview: SchedulePreview,
  { yes, note, json }: SaveOptions,
  changes: readonly string[] = [],
): Promise<void> {
  const asks = !yes;
  if (asks && !canAsk(json))
    throw new CliError('There is no terminal to ask on. Add --yes to save without asking.', 'usage');
  for (const line of [...draftLines(pipeline, terms, preview, note), ...changes]) tell(line);
  if (asks && !(await confirmed('Do you consent to this?'))) throw new CliError('Nothing was saved.');
}
