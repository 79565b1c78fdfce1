import type { Command } from 'commander';
import { connectors } from '../../connectors/index.ts';
import { compressionBySuffix } from '../../domain/sources/compression.ts';
import { type PipelineDetail, ProblemError, type Run, type WaybillClient } from '../../sdk/client.ts';
import { apiUrlOf, asOption, connect, type GlobalOptions } from '../connect.ts';
import { type AddCommand, type CliContext, CliError } from '../context.ts';
import { waitForEnd } from '../followToEnd.ts';
import { referenceOf } from '../options.ts';
import { printResult } from '../output/terminal.ts';
import { type RawParameters, rawParameters, typedParameters } from '../parameters.ts';
import { type Data, dataOf, resumableFromBytes, uploadData, uploadResumably } from '../upload.ts';
import { takeUploadKey } from '../uploadKeys.ts';

interface TriggerOptions extends GlobalOptions {
  file?: string;
  source?: string;
  param?: string[];
  idempotencyKey?: string;
  wait?: boolean;
}

/** `waybill trigger PIPELINE`: begins a run, with data or with a reference to it. */
export const addTrigger: AddCommand = (program, context) => {
  program
    .command('trigger')
    .description('start a run')
    .argument('<pipeline>')
    .option(
      '--file <file>',
      'the data, for a pipeline with an upload source, compressed if it ends in .gz or .zst; - for standard input',
    )
    .option('--source <url-or-path>', 'the URL or file to read, for a pipeline that reads its source itself')
    .option('--param <name=value>', 'a parameter; may be repeated', collect)
    .option('--idempotency-key <key>', 'the same request with the same key returns the same run')
    .option('--wait', 'follow the run to its end; exit code 4 if it fails or is cancelled')
    .action((pipeline: string, _, command: Command) => trigger(pipeline, command.optsWithGlobals(), context));
};

function collect(one: string, all: string[] = []): string[] {
  return [...all, one];
}

async function trigger(id: string, options: TriggerOptions, context: CliContext): Promise<void> {
  const raw = rawParameters(options.param ?? []);
  const client = connect(context, options);
  const pipeline = await client.getPipeline(id);
  const accepted = await begin(context, client, pipeline, raw, options);
  if (!options.wait) {
    printResult(options.json, accepted, () => acceptedLines(accepted, options));
    return;
  }
  await waitForEnd(client, accepted, options);
}

async function begin(
  context: CliContext,
  client: WaybillClient,
  pipeline: PipelineDetail,
  raw: RawParameters,
  options: TriggerOptions,
): Promise<Run> {
  const key = options.idempotencyKey !== undefined && { idempotencyKey: options.idempotencyKey };
  const data = await requestedData(pipeline, options);
  if (data) {
    const compression = compressionBySuffix(data.name);
    if (data.version && data.sizeBytes! >= resumableFromBytes && pipeline.source.kind === 'upload')
      return beginResumably(context, client, pipeline, data, raw, options);
    const as = { mediaType: mediaTypeOf(pipeline), ...(compression && { compression }) };
    return uploadData(client, pipeline.id, data, { ...as, parameters: raw, ...key });
  }
  const source = options.source === undefined ? {} : { source: referenceOf(options.source) };
  const parameters = typedParameters(raw, pipeline.schemas.parameters);
  return client.trigger(pipeline.id, { ...source, parameters }, { ...key });
}

/** The same command continues what one before it has begun and was killed. */
async function beginResumably(
  context: CliContext,
  client: WaybillClient,
  { id, schemas }: PipelineDetail,
  data: Data,
  raw: RawParameters,
  { idempotencyKey, as }: TriggerOptions,
): Promise<Run> {
  const compression = compressionBySuffix(data.name);
  const upload = (key: string, onRun?: (run: Run) => void) =>
    uploadResumably(client, id, data, {
      parameters: typedParameters(raw, schemas.parameters),
      idempotencyKey: key,
      ...(compression && { compression }),
      ...(onRun && { onRun }),
    });
  if (idempotencyKey !== undefined) return upload(idempotencyKey);
  const kept = await takeUploadKey(context, [apiUrlOf(context), as ?? '', id, raw, data.version]);
  try {
    const run = await upload(kept.key, (begun) => {
      if (kept.known) process.stderr.write(`Continues ${begun.id}.\n`);
    });
    kept.forget();
    return run;
  } catch (error) {
    // What the API rejects for good is not worth going on with.
    if (error instanceof ProblemError && error.status < 500) kept.forget();
    throw error;
  } finally {
    await kept.release();
  }
}

/** The data to send, or `undefined` where the pipeline reads its data itself. Whatever does not fit is said first. */
async function requestedData(
  { id, source }: PipelineDetail,
  { file, source: reference }: TriggerOptions,
): Promise<Data | undefined> {
  if (source.kind === 'upload' || source.kind === 'inline') {
    if (reference !== undefined)
      throw new CliError(`${id} reads what it is sent: use --file instead of --source.`, 'usage');
    if (file === undefined)
      throw new CliError(
        `${id} needs data: --file FILE with ${formatOf(source)}, or --file - for standard input.`,
        'usage',
      );
    return dataOf(file);
  }
  if (file === undefined) return undefined;
  const instead = source.kind === 'http' ? 'a URL' : 'a file that Waybill itself can read';
  throw new CliError(`${id} reads ${instead}: use --source instead of --file.`, 'usage');
}

/** As the pipeline declares it, whatever the file is called. */
function mediaTypeOf({ id, source }: PipelineDetail): string {
  const name = formatOf(source);
  const format = connectors.formats.find((one) => one.name === name);
  if (format) return format.mediaType;
  throw new CliError(`${id} reads ${name}, which this version of the CLI cannot send.`);
}

function formatOf({ kind, format }: PipelineDetail['source']): string {
  const fixed = connectors.sources.find((one) => one.kind === kind)?.format;
  const manifest = fixed === undefined || fixed === 'chosen' ? format : fixed;
  return String((manifest as { name?: unknown } | undefined)?.name);
}

function acceptedLines({ id, links }: Run, options: GlobalOptions): string[] {
  const where = links.temporal ? `, or at ${links.temporal}` : '';
  return [`Accepted as ${id}.`, `  Follow it with npx waybill runs watch ${id}${asOption(options)}${where}`];
}
