import { styleText } from 'node:util';
import type { Command } from 'commander';
import { z } from 'zod';
import { locatorText } from '../../domain/runs/rejection.ts';
import type { CheckedFile, RejectedExample } from '../../sdk/checkFile.ts';
import { type AddCommand, exitCode } from '../context.ts';
import { count } from '../output/quantities.ts';
import { table } from '../output/table.ts';
import { plain, printResult } from '../output/terminal.ts';
import { rawParameters, typedParameters } from '../parameters.ts';
import { dataOf } from '../upload.ts';

interface CheckOptions {
  project: string;
  param?: string[];
  json?: boolean;
}

/** `waybill check PIPELINE FILE`: which records of a file a pipeline would reject, with no stack. */
export const addCheck: AddCommand = (program) => {
  program
    .command('check')
    .description('validate a file with the code of a pipeline; exit code 1 if a record is rejected')
    .argument('<pipeline>')
    .argument('<file>', 'compressed if it ends in .gz or .zst; - for standard input')
    .option('--project <folder>', 'the project with the pipeline', '.')
    .option('--param <name=value>', 'a parameter; may be repeated', (one, all: string[] = []) => [
      ...all,
      one,
    ])
    .action((pipeline: string, file: string, _, command: Command) =>
      check(pipeline, file, command.optsWithGlobals()),
    );
};

async function check(id: string, file: string, options: CheckOptions): Promise<void> {
  const raw = rawParameters(options.param ?? []);
  const data = await dataOf(file);
  const { checkFile, openPipeline } = await import('../../sdk/checkFile.ts');
  const pipeline = await openPipeline(options.project, id);
  const schema = z.toJSONSchema(pipeline.parameters, { io: 'input', unrepresentable: 'any' });
  const parameters = typedParameters(raw, schema as Record<string, unknown>);
  const checked = await checkFile(pipeline, data.name, data.open(), parameters);
  printResult(options.json, checked, () => checkedLines(file, checked));
  if (checked.counts.rejected > 0) process.exitCode = exitCode.failed;
}

function checkedLines(
  file: string,
  { pipeline, counts, unknownFields, rejectedByCode, locates, examples }: CheckedFile,
): string[] {
  const { read, passed, filtered, rejected, emitted } = counts;
  const codes = Object.entries(rejectedByCode).map(([code, n]) => `${plain(code)} ${count(n)}`);
  return [
    `${file}: ${rejected === 0 ? `${pipeline} accepts every record.` : `${pipeline} rejects ${count(rejected)} of ${count(read)} records.`}`,
    `  read ${count(read)} = passed ${count(passed)} + filtered ${count(filtered)} + rejected ${count(rejected)}`,
    `  emitted ${count(emitted)}`,
    ...(unknownFields > 0 ? [`  unknown fields ${count(unknownFields)}`] : []),
    ...(rejected > 0
      ? [`  ${styleText('yellow', codes.join(', '))}`, '', ...table(columnsOf(locates), examples)]
      : []),
  ];
}

const columnsOf = (locates: CheckedFile['locates']) => [
  { title: 'WHERE', cell: (one: RejectedExample) => locatorText(locates, one) },
  { title: 'CODE', cell: ({ code }: RejectedExample) => plain(code) },
  { title: 'PATH', cell: ({ path }: RejectedExample) => plain(path) || '–' },
  { title: 'MESSAGE', cell: ({ message }: RejectedExample) => plain(message) },
  { title: 'RECORD', cell: ({ text = '' }: RejectedExample) => cut(plain(text)) },
];

function cut(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
