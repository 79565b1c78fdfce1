import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { letterStates } from '../../domain/deadLetters/letterStates.ts';
import type {
  DeadLetterEdit,
  DeadLetterFilter,
  LetterEvent,
  RepairRequest,
  RepairStep,
  WaybillClient,
} from '../../sdk/client.ts';
import { asOption, connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError } from '../context.ts';
import { editText } from '../editText.ts';
import { exitCodeOf, followToEnd, refusalsOf } from '../followToEnd.ts';
import { addByIdCommand, allItems, paged } from '../options.ts';
import { historyLines } from '../output/auditText.ts';
import { groupTable, letterLines, letterTable, repairLines, ruleLines } from '../output/letterText.ts';
import { count, duration } from '../output/quantities.ts';
import { endLines } from '../output/runText.ts';
import { pageLines } from '../output/table.ts';
import { printResult } from '../output/terminal.ts';

interface Chosen {
  run?: string;
  pipeline?: string;
  code?: string;
  path?: string;
  from?: string;
  to?: string;
}

/** `waybill dead-letters [list|get|edit|redrive|discard]` */
export const addDeadLetters: AddCommand = (program, context) => {
  const letters = program
    .command('dead-letters')
    .description('list, show, edit, redrive and discard rejected records');

  const list = filtered(
    letters.command('list', { isDefault: true }).description('list rejected records, newest first'),
  )
    .addOption(new Option('--state <state>', 'only letters in this state').choices(letterStates))
    .option('--group-by <fields>', 'count them by code, path, pipeline, run or state, with commas');
  paged(list).action(async (asked: DeadLetterFilter & { groupBy?: string }, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const client = connect(context, options);
    const { groupBy, limit, cursor, ...filter } = asked;
    if (groupBy === undefined) {
      const page = await client.listDeadLetters({
        ...filter,
        ...(limit && { limit }),
        ...(cursor && { cursor }),
      });
      return printResult(options.json, page, () =>
        pageLines(page, letterTable, 'There are no such dead letters.'),
      );
    }
    const groups = await client.groupDeadLetters(groupBy.split(','), filter);
    printResult(options.json, groups, () => groupTable(groups));
  });

  addByIdCommand(letters, 'get', 'show one rejected record, with its value where you may see values')
    .option('--history', 'what happened to it, from its rejection to its row, and who answers for it')
    .action(async (id: string, asked: { history?: true }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      const letter = await client.getDeadLetter(id);
      const history = asked.history && (await historyOf(client, id));
      printResult(options.json, { ...letter, ...(history && { history }) }, () => [
        ...letterLines(letter, Date.now()),
        ...(history ? ['', ...historyLines(history)] : []),
      ]);
    });

  chosen(
    letters
      .command('edit')
      .description('correct a rejected record in $EDITOR, or many by a rule, and keep what fits now'),
  )
    .option('--record <json>', 'the corrected record as JSON')
    .option('--raw <text>', 'the corrected record in the format of its source')
    .option('--file <path>', 'a file with that; - is standard input')
    .option('--set <path=json...>', 'a rule for all that are named: set this field')
    .action(async (ids: string[], asked: Chosen & EditOptions, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      if (asked.set) {
        const request = { ...choiceOf(ids, asked), rule: { set: fieldsOf(asked.set) } };
        const done = await editAll(client, { ...request, dryRun: asked.dryRun ?? false });
        return printResult(options.json, done, () => ruleLines(done));
      }
      const [id, ...more] = ids;
      if (id === undefined || more.length > 0)
        throw new CliError('Name one dead letter, or edit many with --set.', 'usage');
      const repaired = await client.repairDeadLetter(id, {
        ...(await editOf(context, options, id, asked)),
        ...(asked.dryRun && { dryRun: true }),
      });
      printResult(options.json, repaired, () => [
        ...repairLines(repaired),
        ...(repaired.kept
          ? [`npx waybill dead-letters redrive ${id}${asOption(options)} sends it again.`]
          : []),
      ]);
    });

  chosen(
    letters.command('redrive').description('send rejected records through their pipeline again, as a run'),
  )
    .option(
      '--param <name=value...>',
      'a parameter of the run; default: those of the runs that rejected them',
    )
    .option('--throttle <rate>', 'begin no more records than that, such as 50/s, 600/m or 100/h')
    .option('--reason <text>', 'why, for the audit')
    .option('--wait', 'follow the run to its end')
    .action(async (ids: string[], asked: Chosen & RedriveOptions, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      const request = {
        ...choiceOf(ids, asked),
        ...(asked.reason !== undefined && { reason: asked.reason }),
        ...(asked.throttle !== undefined && { throttle: asked.throttle }),
        ...(asked.param && { parameters: parametersOf(asked.param) }),
      };
      if (asked.dryRun) {
        const preview = await client.previewRedrive(request);
        return printResult(options.json, preview, () => [
          `${count(preview.letters)} dead letters of ${preview.pipeline} would be sent, ${count(preview.repaired)} of them edited.`,
          ...(preview.leastMs === undefined
            ? []
            : [`At ${asked.throttle} that takes at least ${duration(preview.leastMs)}.`]),
        ]);
      }
      let run = await client.redriveDeadLetters(request);
      if (!asked.wait)
        return printResult(options.json, run, () => [
          `${run.id} has them. npx waybill runs watch ${run.id}${asOption(options)} shows what becomes of it.`,
        ]);
      run = await followToEnd(client, run.id, { onChange: () => {}, as: options.as });
      const rejections = await refusalsOf(client, run);
      printResult(options.json, run, () => endLines(run, rejections));
      process.exitCode = exitCodeOf(run);
    });

  chosen(letters.command('discard').description('give rejected records up for good'))
    .requiredOption('--reason <text>', 'why')
    .action(async (ids: string[], asked: Chosen & { reason: string; dryRun?: boolean }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const done = await connect(context, options).discardDeadLetters({
        ...choiceOf(ids, asked),
        reason: asked.reason,
        ...(asked.dryRun && { dryRun: true }),
      });
      printResult(options.json, done, () => [
        `${count(done.letters)} dead letters ${done.dryRun ? 'would be' : 'are'} discarded.`,
      ]);
    });
};

function historyOf(client: WaybillClient, id: string): Promise<LetterEvent[]> {
  return allItems((from) => client.listLetterAudit(id, { limit: 100, ...from }));
}

/** All steps, one after the other. */
async function editAll(client: WaybillClient, request: RepairRequest): Promise<RepairStep> {
  const sum: RepairStep = {
    dryRun: false,
    letters: 0,
    repaired: 0,
    untouched: 0,
    failing: [],
    nextCursor: null,
  };
  let cursor: string | undefined;
  do {
    const step = await client.repairDeadLetters({ ...request, ...(cursor !== undefined && { cursor }) });
    sum.dryRun = step.dryRun;
    sum.letters += step.letters;
    sum.repaired += step.repaired;
    sum.untouched += step.untouched;
    for (const one of step.failing) {
      const known = sum.failing.find(({ code, path }) => code === one.code && path === one.path);
      if (known) known.letters += one.letters;
      else sum.failing.push(one);
    }
    cursor = step.nextCursor ?? undefined;
  } while (cursor !== undefined);
  return sum;
}

/** What is no JSON is text. Throws `CliError`. */
function fieldsOf(pairs: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(parametersOf(pairs)).map(([path, text]) => {
      try {
        return [path, JSON.parse(text)];
      } catch {
        return [path, text];
      }
    }),
  );
}

interface EditOptions {
  set?: string[];
  record?: string;
  raw?: string;
  file?: string;
  dryRun?: boolean;
}

interface RedriveOptions {
  param?: string[];
  throttle?: string;
  reason?: string;
  wait?: boolean;
  dryRun?: boolean;
}

function filtered(command: Command): Command {
  return command
    .option('--run <id>', 'only records that this run rejected')
    .option('--pipeline <id>', 'only records of this pipeline')
    .option('--code <code>', 'only records with this code')
    .option('--path <path>', 'only records with this field at fault')
    .option('--from <time>', 'rejected at this time or later (RFC 3339)')
    .option('--to <time>', 'rejected before this time');
}

function chosen(command: Command): Command {
  return filtered(command.argument('[ids...]')).option('--dry-run', 'count them and change nothing');
}

/** Ids, or a filter of which `run` or `pipeline` is part. Throws `CliError`. */
function choiceOf(ids: readonly string[], { run, pipeline, code, path, from, to }: Chosen) {
  const given = Object.entries({ run, pipeline, code, path, from, to }).filter(
    ([, value]) => value !== undefined,
  );
  if (ids.length > 0 && given.length > 0) throw new CliError('Name either ids or a filter.', 'usage');
  if (ids.length > 0) return { ids: [...ids] };
  if (run === undefined && pipeline === undefined)
    throw new CliError('Name ids, or a filter with --run or --pipeline.', 'usage');
  return { filter: Object.fromEntries(given) };
}

function parametersOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1) throw new CliError(`A parameter is name=value, not ${pair}.`, 'usage');
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** What the options say, else what the user makes of the record in an editor. Throws `CliError`. */
async function editOf(
  context: CliContext,
  options: GlobalOptions,
  id: string,
  { record, raw, file }: EditOptions,
): Promise<DeadLetterEdit> {
  if ([record, raw, file].filter((one) => one !== undefined).length > 1)
    throw new CliError('Give one of --record, --raw and --file.', 'usage');
  if (record !== undefined) return { record: jsonOf(record) };
  const text = raw ?? (file === undefined ? undefined : readFileSync(file === '-' ? 0 : file, 'utf8'));
  if (text !== undefined) return { raw: text.replace(/\r?\n$/, '') };
  const { value, revision } = await connect(context, options).getDeadLetter(id);
  if (!value)
    throw new CliError(
      'You may not see the value of this record. Give a corrected one with --record or --raw.',
      'denied',
    );
  const before = value.edit?.text ?? ('text' in value.raw ? value.raw.text : undefined);
  if (before === undefined)
    throw new CliError('The record is no text, or too large. Give a corrected one with --record or --file.');
  const edited = editText(context, before);
  return value.edit?.form === 'record' ? { record: jsonOf(edited), revision } : { raw: edited, revision };
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text);
  } catch {
    throw new CliError('The record is not valid JSON.', 'usage');
  }
}
