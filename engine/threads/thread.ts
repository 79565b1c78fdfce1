import { move, transferableSymbol, valueSymbol } from 'piscina';
import { type ErrorCode, type Issue, WaybillError } from '../../domain/errors.ts';
import { DefinitionError } from '../../domain/pipelines/definitionError.ts';
import type { DefinitionRef, StageResult } from '../../domain/ports/compute.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { loadModule } from '../project/loadModule.ts';
import type { Progress } from '../records/codeFailure.ts';
import { type PreparedDefinition, prepareDefinition } from '../records/definition.ts';
import { encodeBatch, transformBatch } from '../records/transformBatch.ts';
import { validateBatch } from '../records/validateBatch.ts';

export type Task = { definition: DefinitionRef; bytes: Uint8Array; progress?: Progress } & (
  | { kind: 'validate'; batch: Batch }
  | { kind: 'transform'; parameters: unknown }
  | { kind: 'encode' }
);

export type Answer =
  | { outcome: 'done'; result: StageResult | EncodedRows }
  /** This thread has another version of the module in memory, which nothing but its end removes. */
  | { outcome: 'stale' }
  /** An error keeps its class and code only as data. */
  | {
      outcome: 'failed';
      code: ErrorCode;
      detail?: string | undefined;
      publicDetail?: string | undefined;
      issues?: readonly Issue[] | undefined;
    };

/**
 * Runs one task in this thread. Bytes leave by transfer; they come by copy (1 ms for 4 MiB), so that the caller still
 * has them when another thread must be asked.
 */
export default async function run(task: Task): Promise<Answer> {
  try {
    const definition = await find(task.definition);
    if (!definition) return { outcome: 'stale' };
    const bytes = Buffer.from(task.bytes.buffer, task.bytes.byteOffset, task.bytes.byteLength);
    if (task.kind === 'encode') return { outcome: 'done', result: encodeBatch(definition, bytes) };
    const result =
      task.kind === 'validate'
        ? await validateBatch(definition, task.batch, bytes, task.progress)
        : transformBatch(definition, task.parameters, bytes, task.progress);
    return handOver({ outcome: 'done', result }, result.bytes);
  } catch (error) {
    return failed(error);
  }
}

const loaded = new Map<string, { digest: string; definition: PreparedDefinition }>();

/** The definition of exactly that digest. Throws `DefinitionUnavailable` where the module on disk is another by now. */
async function find({ modulePath, digest }: DefinitionRef): Promise<PreparedDefinition | undefined> {
  const known = loaded.get(modulePath);
  if (known) return known.digest === digest ? known.definition : undefined;
  const module = await loadModule(modulePath);
  const definition = prepareDefinition(module.pipeline);
  loaded.set(modulePath, { digest: module.digest, definition });
  if (module.digest === digest) return definition;
  throw new WaybillError('DefinitionUnavailable', { detail: `${modulePath} is here as ${module.digest}` });
}

function handOver(answer: Answer, bytes: Uint8Array): Answer {
  const envelope = { [transferableSymbol]: [bytes.buffer], [valueSymbol]: answer };
  return move(envelope as never) as unknown as Answer;
}

function failed(error: unknown): Answer {
  if (error instanceof WaybillError) {
    return {
      outcome: 'failed',
      code: error.code,
      detail: error.detail,
      publicDetail: error.publicDetail,
      issues: error.issues,
    };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return {
    outcome: 'failed',
    code: error instanceof DefinitionError ? 'DefinitionUnavailable' : 'Internal',
    detail,
  };
}
