import { hash } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { move, transferableSymbol, valueSymbol, workerData } from 'piscina';
import { type ErrorCode, type Issue, WaybillError } from '../../domain/errors.ts';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';
import { readLookups } from '../../domain/pipelines/lookups.ts';
import type { BatchTask, DefinitionRef, LookupKeys, StageResult } from '../../domain/ports/compute.ts';
import type { ObjectScope, ObjectStore, StoreOpener } from '../../domain/ports/objects.ts';
import { type Batch, smallBytesMax } from '../../domain/runs/batch.ts';
import type { RecordPlace, Rejection } from '../../domain/runs/rejection.ts';
import { beginningOf } from '../../domain/runs/run.ts';
import { loadBundle, loadModule } from '../project/loadModule.ts';
import type { RecordPosition } from '../records/codeFailure.ts';
import { type PreparedDefinition, prepareDefinition } from '../records/definition.ts';
import { locateRecords } from '../records/locateRecords.ts';
import { lookupKeys } from '../records/lookupKeys.ts';
import { processBatch } from '../records/processBatch.ts';
import type { StageEntry } from './stageCache.ts';

export interface Task {
  definition: DefinitionRef;
  scope: ObjectScope;
  batch: Batch;
  /** Whether its records are dead letters. */
  areLetters?: boolean;
  /** Of the batch, where the thread cannot open the store itself. */
  bytes?: Uint8Array;
  /** With it, the records are transformed too. */
  transform?: { parameters: unknown; source?: string };
  /** Which values were looked up for the batch. */
  lookups?: BatchTask['lookups'];
  /** Instead of all that, only says what is to be looked up. */
  keys?: true;
  /** Instead of all that, only says where the records of these positions are. */
  locate?: readonly number[];
  progress: RecordPosition;
  /** Where large rows are written; they are handed over where that fails. */
  rowsPath?: string;
}

export type Answer =
  | { outcome: 'done'; processed: Computed; failure?: FailureData }
  | { outcome: 'located'; places: RecordPlace[] }
  | { outcome: 'keys'; found: LookupKeys }
  /** This thread has another version of the module in memory, which nothing but its end removes. */
  | { outcome: 'stale' }
  | ({ outcome: 'failed' } & FailureData);

/** Without `rows` they are in the file of the task. */
export interface Computed {
  validated: StageResult;
  transformed?: StageResult & { rows?: Uint8Array };
  rejected?: StageEntry['rejected'];
}

/** An error keeps its class and code only as data. */
export interface FailureData {
  code: ErrorCode;
  detail?: string | undefined;
  publicDetail?: string | undefined;
  issues?: readonly Issue[] | undefined;
}

/** What the pool tells its threads at their start. */
export interface ThreadOptions {
  store?: StoreOpener | undefined;
}

/** Runs one task in this thread, which reads the bytes itself. The encoded rows leave by transfer. */
export default async function run(task: Task): Promise<Answer> {
  try {
    const definition = await find(task.definition);
    if (!definition) return { outcome: 'stale' };
    const bytes = await read(task);
    const { transform, areLetters, progress, locate, keys } = task;
    if (keys) return { outcome: 'keys', found: await lookupKeys(definition, task.batch, bytes, areLetters) };
    if (locate)
      return {
        outcome: 'located',
        places: await locateRecords(definition, task.batch, bytes, locate, areLetters),
      };
    const { failure, ...processed } = await processBatch(definition, task.batch, bytes, {
      transform: transform && {
        ...transform,
        ...(task.lookups && { lookups: await readValues(task) }),
        beganMs: beginningOf(task.scope.runId),
      },
      areLetters,
      progress,
    });
    const { validated, transformed } = processed;
    const said = { outcome: 'done' as const, ...(failure && { failure: asData(failure) }) };
    if (!transformed) return { ...said, processed: { validated } };
    const { rows, ...result } = transformed;
    const rejected = task.batch.bytes
      ? undefined
      : bytesOf([...validated.rejections, ...result.rejections], bytes, task.batch.firstByte);
    const computed = { validated, ...(rejected && { rejected }) };
    if (!task.bytes && !task.batch.bytes) free(bytes);
    if (task.rowsPath && rows.byteLength > smallBytesMax && wrote(task.rowsPath, rows)) {
      free(rows);
      return { ...said, processed: { ...computed, transformed: result } };
    }
    return handOver({ ...said, processed: { ...computed, transformed } }, rows);
  } catch (error) {
    return { outcome: 'failed', ...asData(error) };
  }
}

/** A thread takes its next batch before garbage is collected, and would hold the memory of both. */
function free({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

const rejectedBytesMax = 1024 * 1024;

/** So that storing the dead letters does not read the whole batch again. */
function bytesOf(rejections: readonly Rejection[], bytes: Buffer, firstByte: number): StageEntry['rejected'] {
  if (rejections.length === 0) return undefined;
  if (rejections.reduce((sum, { byteLength }) => sum + byteLength, 0) > rejectedBytesMax) return undefined;
  const found = rejections.map(({ position, byteOffset, byteLength }): [number, string] => {
    const start = byteOffset - firstByte;
    return [position, bytes.toString('base64', start, start + byteLength)];
  });
  return { bytes: found, digest: hash('sha256', JSON.stringify(found)) };
}

/** Memory that passes through the main thread makes it collect garbage. */
function wrote(path: string, rows: Uint8Array): boolean {
  try {
    writeFileSync(path, rows, { mode: 0o600 });
    return true;
  } catch {
    rmSync(path, { force: true });
    return false;
  }
}

let store: Promise<ObjectStore> | undefined;

/** Throws `BatchCorrupt` where the bytes are not those of the batch. */
async function read({ scope, batch, bytes = batch.bytes }: Task): Promise<Buffer> {
  if (bytes) {
    if (hash('sha256', bytes) === batch.digest)
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    throw new WaybillError('BatchCorrupt', { detail: `batch ${batch.seq} of ${scope.runId}` });
  }
  return get(scope, batch.digest);
}

async function get(scope: ObjectScope, digest: string): Promise<Buffer> {
  const { store: opener } = workerData as ThreadOptions;
  store ??= import(opener!.module).then((module) => module[opener!.name](...opener!.args));
  const found = await (await store!).get(scope, digest);
  return Buffer.from(found.buffer, found.byteOffset, found.byteLength);
}

/** Throws `BatchCorrupt` where the values are not the recorded ones. */
async function readValues({ scope, batch, lookups }: Task): Promise<ReturnType<typeof readLookups>> {
  const { digest, values } = lookups!;
  const bytes = values ? Buffer.from(values) : await get(scope, digest);
  if (hash('sha256', bytes) !== digest)
    throw new WaybillError('BatchCorrupt', { detail: `the lookups of batch ${batch.seq} of ${scope.runId}` });
  return readLookups(bytes.toString());
}

const loaded = new Map<string, { digest: string; definition: PreparedDefinition }>();

/** The definition of exactly that digest. Throws `DefinitionUnavailable` where the module on disk is another by now. */
async function find({
  modulePath,
  resolveFrom,
  digest,
}: DefinitionRef): Promise<PreparedDefinition | undefined> {
  const known = loaded.get(modulePath);
  if (known) return known.digest === digest ? known.definition : undefined;
  const module = await (resolveFrom ? loadBundle(modulePath, resolveFrom) : loadModule(modulePath));
  const definition = prepareDefinition(module.pipeline);
  loaded.set(modulePath, { digest: module.digest, definition });
  if (module.digest === digest) return definition;
  throw new WaybillError('DefinitionUnavailable', { detail: `${modulePath} is here as ${module.digest}` });
}

function handOver(answer: Answer, bytes: Uint8Array): Answer {
  const envelope = { [transferableSymbol]: [bytes.buffer], [valueSymbol]: answer };
  return move(envelope as never) as unknown as Answer;
}

function asData(error: unknown): FailureData {
  if (error instanceof WaybillError) {
    const { code, detail, publicDetail, issues } = error;
    return { code, detail, publicDetail, issues };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return { code: error instanceof DefinitionError ? 'DefinitionUnavailable' : 'Internal', detail };
}
