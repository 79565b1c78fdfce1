import { styleText } from 'node:util';
import type { Command } from 'commander';
import type { Pipeline, PipelineDetail } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { addByIdCommand, paged } from '../options.ts';
import { qualityTable } from '../output/qualityText.ts';
import { duration } from '../output/quantities.ts';
import { whenText } from '../output/scheduleText.ts';
import { pageLines, table } from '../output/table.ts';
import { plain, printResult } from '../output/terminal.ts';

/** `waybill pipelines [ID]`, `waybill pipelines quality ID` */
export const addPipelines: AddCommand = (program, context) => {
  const pipelines = program
    .command('pipelines')
    .description('list the pipelines, or show one')
    .argument('[id]')
    .action(async (id: string | undefined, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const client = connect(context, options);
      if (id === undefined) {
        const page = await client.listPipelines();
        printResult(options.json, page, () => listLines(page.items));
      } else {
        const pipeline = await client.getPipeline(id);
        printResult(options.json, pipeline, () => detailLines(pipeline));
      }
    });

  paged(
    addByIdCommand(pipelines, 'quality', 'show what its quality rules found, run by run, newest first'),
  ).action(async (id: string, page: { limit: number; cursor?: string }, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const results = await connect(context, options).listQuality(id, page);
    printResult(options.json, results, () =>
      pageLines(results, qualityTable, 'No run of it has been measured.'),
    );
  });
};

function listLines(pipelines: readonly Pipeline[]): string[] {
  if (pipelines.length === 0) return ['There are no pipelines that you may see.'];
  return table<Pipeline>(
    [
      { title: 'PIPELINE', cell: ({ id }) => id },
      { title: 'VERSION', align: 'right', cell: ({ version }) => String(version) },
      { title: 'READS', cell: sourceText },
      { title: 'WRITES', cell: ({ sink }) => plain(`${sink.kind} ${sink.table}`) },
      { title: 'LABELS', cell: labelText },
    ],
    pipelines,
  );
}

function detailLines(pipeline: PipelineDetail): string[] {
  const { id, version, sink, deadlineMs, definitionDigest, schemas } = pipeline;
  const rows: [string, string][] = [
    ['reads', sourceText(pipeline)],
    ...writesRows(sink),
    ['deadline', `${duration(deadlineMs)} after acceptance`],
    ['labels', labelText(pipeline) || 'none'],
    ...gateRows(pipeline),
    ...qualityRows(pipeline),
    ...scheduleRows(pipeline),
    ['definition', definitionDigest.slice(0, 12)],
  ];
  return [
    styleText('bold', `${id} version ${version}`),
    ...rows.map(([name, value]) => `  ${styleText('dim', name.padEnd(10))} ${value}`),
    ...fields('parameters (--param name=value)', schemas.parameters),
    ...fields('input', schemas.input),
  ];
}

/** Where its runs wait, for which roles and for how long. */
function gateRows({ approval }: PipelineDetail): [string, string][] {
  if (!approval) return [];
  const { before, by, quorum, conditional, withinMs, onTimeout, escalateTo } = approval;
  const many = quorum > 1 ? `${quorum} people of ` : '';
  const unless = conditional ? ', unless its own rule says that it need not' : '';
  const then = onTimeout === 'escalate' ? `then also ${escalateTo.join(' or ')}` : 'then it is cancelled';
  return [
    ['waits', plain(`before ${before} for ${many}${by.join(' or ')}${unless}`)],
    ['', plain(`within ${duration(withinMs)}; ${then}`)],
  ];
}

function qualityRows({ quality }: PipelineDetail): [string, string][] {
  if (!quality) return [];
  const names = quality.rules.map(({ name }) => name).join(', ');
  return [['quality', plain(`${names}; on a breach: ${quality.onBreach}`)]];
}

/** Declared, which does not say that they are there. */
function scheduleRows({ schedules }: PipelineDetail): [string, string][] {
  return schedules.map(({ id, terms }) => [
    'schedule',
    plain(`${id}: ${whenText(terms)} ${terms.timeZone}, once applied; npx waybill schedules get ${id}`),
  ]);
}

function sourceText({ source }: Pipeline): string {
  const format = (source.format as { name?: string } | undefined)?.name;
  const parts = [source.kind, format, source.path ?? source.url];
  return plain(parts.filter((part) => typeof part === 'string').join(' '));
}

/** A line for each of several outputs. */
function writesRows({ outputs, ...sink }: Pipeline['sink']): [string, string][] {
  const textOf = (one: Pipeline['sink']) => `${one.kind} ${one.table}, ${modeText(one)}`;
  if (!outputs) return [['writes', plain(textOf(sink))]];
  return Object.entries(outputs).map(([name, one], i) => [
    i === 0 ? 'writes' : '',
    plain(`${name}: ${textOf(one)}`),
  ]);
}

function modeText({ key, mode }: Pipeline['sink']): string {
  const words = [mode, key !== undefined && `key ${Array.isArray(key) ? key.join(', ') : 'the whole row'}`];
  return words.filter(Boolean).join(', ');
}

function labelText({ labels }: Pipeline): string {
  return plain(
    Object.entries(labels)
      .map(([name, value]) => `${name}=${value}`)
      .join(' '),
  );
}

interface Field {
  type?: string | string[];
  enum?: unknown[];
  anyOf?: Field[];
  default?: unknown;
  format?: string;
}

/** The first level of a JSON Schema, a field a line; `--json` shows all of it. */
function fields(title: string, schema: Record<string, unknown>): string[] {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Field>);
  if (properties.length === 0) return [];
  const required = new Set((schema.required as string[] | undefined) ?? []);
  const width = Math.max(...properties.map(([name]) => name.length));
  return [
    `  ${styleText('dim', title)}`,
    ...properties.map(([name, field]) => {
      const optional = field.default !== undefined ? `, default ${field.default}` : ', optional';
      const type = `${typeText(field)}${required.has(name) ? '' : optional}`;
      return `${plain(name).padEnd(width)} ${styleText('dim', plain(type))}`;
    }),
  ].map((line, i) => (i === 0 ? line : `    ${line}`));
}

function typeText({ type, enum: values, anyOf, format }: Field): string {
  if (values) return values.join(' | ');
  if (anyOf) return anyOf.map(typeText).join(' | ');
  return `${[type ?? 'anything'].flat().join(' | ')}${format ? ` (${format})` : ''}`;
}
