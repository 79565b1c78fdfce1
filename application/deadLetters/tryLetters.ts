import { hash } from 'node:crypto';
import type { LetterValue } from '../../domain/deadLetters/deadLetter.ts';
import { writeLetterLine } from '../../domain/deadLetters/letterLine.ts';
import type { BatchTask } from '../../domain/ports/compute.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { RecordRejection } from '../../domain/runs/rejection.ts';
import type { ApplicationPorts } from '../ports.ts';

/** What the current definition makes of a record. */
export type LetterOutcome =
  | { kind: 'stored'; rows: Record<string, string | null>[] }
  | { kind: 'filtered' }
  | ({ kind: 'rejected' } & RecordRejection);

/** What it makes of several: the rejections by their place among them. */
export interface LettersOutcome {
  passed: number;
  filtered: number;
  rejections: ReadonlyMap<number, RecordRejection>;
}

const rowsMax = 100;

type Ports = Pick<ApplicationPorts, 'compute'>;

/**
 * Validates and transforms a letter as a redrive would, in a thread that ends when it takes too long. Nothing is stored. Throws
 * `TransformFailed`, `TransformTimedOut`, `ParametersInvalid`, `DefinitionUnavailable`.
 */
export async function tryLetter(
  { compute }: Ports,
  pipeline: LoadedPipeline,
  parameters: unknown,
  value: LetterValue,
): Promise<LetterOutcome> {
  const task = taskOf(pipeline, parameters, [value]);
  try {
    const { validated, transformed } = await compute.transform(task);
    const [rejection] = [...validated.rejections, ...transformed.rejections];
    if (rejection) {
      const { code, path, message } = rejection;
      return { kind: 'rejected', code, path, message };
    }
    if (!transformed.counts.passed) return { kind: 'filtered' };
    const { digest, sizeBytes, counts } = transformed;
    const encoded = await compute.rows(task, { digest, sizeBytes, emitted: counts.emitted ?? 0 });
    const chunks: Uint8Array[] = [];
    for await (const chunk of encoded.chunks()) chunks.push(chunk);
    const { sink } = pipeline.manifest;
    return { kind: 'stored', rows: await compute.readRows(sink, Buffer.concat(chunks), rowsMax) };
  } finally {
    await compute.forget(task);
  }
}

/** The same of many at once, without their rows. */
export async function tryLetters(
  { compute }: Ports,
  pipeline: LoadedPipeline,
  parameters: unknown,
  values: readonly LetterValue[],
): Promise<LettersOutcome> {
  if (values.length === 0) return { passed: 0, filtered: 0, rejections: new Map() };
  const task = taskOf(pipeline, parameters, values);
  try {
    const { validated, transformed } = await compute.transform(task);
    const { passed = 0, filtered = 0 } = transformed.counts;
    const rejections = [...validated.rejections, ...transformed.rejections];
    return {
      passed,
      filtered,
      rejections: new Map(
        rejections.map(({ position, code, path, message }) => [position, { code, path, message }]),
      ),
    };
  } finally {
    await compute.forget(task);
  }
}

function taskOf(pipeline: LoadedPipeline, parameters: unknown, values: readonly LetterValue[]): BatchTask {
  const bytes = Buffer.from(values.map(writeLetterLine).join(''));
  return {
    definition: pipeline,
    scope: { tenant: '', runId: 'trial' },
    batch: {
      seq: 0,
      digest: hash('sha256', bytes),
      bytes,
      sizeBytes: bytes.length,
      firstByte: 0,
      firstRecord: 0,
      firstLine: 1,
      records: values.length,
    },
    areLetters: true,
    parameters,
  };
}
