import { WaybillError } from '../../domain/errors.ts';
import { applyTransform, type TransformOutcome } from '../../domain/pipelines/applyTransform.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import { type Rejection, rejections } from '../../domain/runs/rejection.ts';
import { columnText } from './columnText.ts';
import type { PreparedDefinition } from './definition.ts';
import { eachLine } from './eachLine.ts';
import { LineWriter } from './lineWriter.ts';

/**
 * Calls the pipeline’s transform on each valid record. A row leaves as the texts of its columns, in the order of the
 * sink, `null` for NULL. A record whose rows the table could not take is refused as a whole.
 * Throws `TransformFailed` where the pipeline’s code throws, `ParametersInvalid` where the parameters do not fit.
 */
export function transformBatch(definition: PreparedDefinition, sent: unknown, bytes: Buffer): StageResult {
  const { pipeline, codec } = definition;
  const parameters = parseParameters(definition, sent);
  const rejected: Rejection[] = [];
  const counts = { passed: 0, filtered: 0, rejected: 0, emitted: 0 };
  const lines = new LineWriter(bytes.length);

  eachLine(bytes, ([position, line, byteOffset, byteLength, value]) => {
    const place = { position, line, byteOffset, byteLength };
    const outcome = guarded(position, () => applyTransform(pipeline, codec.restore(value), parameters));
    if (outcome.kind === 'filtered') {
      counts.filtered++;
      return;
    }
    const written = outcome.kind === 'rejected' ? outcome : writeRows(definition, outcome.rows);
    if (!Array.isArray(written)) {
      counts.rejected++;
      const { code, path, message } = written;
      rejected.push({ ...place, code, path, message: message.slice(0, messageMax) });
      return;
    }
    counts.passed++;
    counts.emitted += written.length;
    for (const row of written) lines.text(`[${position},${line},${byteOffset},${byteLength},${row}]\n`);
  });

  return { bytes: lines.finish(), rejections: rejected, counts };
}

const messageMax = 500;

/**
 * An entry of a B-tree has at most 2,704 bytes, tenant and overhead included; a key that is longer would fail the
 * batch. Source: PostgreSQL, `BTMaxItemSize`.
 */
const keyBytesMax = 2_000;

function writeRows({ sink }: PreparedDefinition, rows: readonly unknown[]): string[] | Refusal {
  const written: string[] = [];
  for (const row of rows) {
    const texts: (string | null)[] = [];
    let keyUnits = 0;
    for (const { name, type, nullable } of sink.columns) {
      const text = columnText(type, (row as Record<string, unknown>)[name]);
      if (text !== null && typeof text === 'object') return refusal(text.code, name, type);
      if (text === null && !nullable) return refusal('OutputMismatch', name, type);
      if (text !== null && sink.key !== 'row-digest' && sink.key.includes(name)) keyUnits += text.length;
      texts.push(text);
    }
    if (keyUnits * 3 > keyBytesMax && keyBytes(sink, texts) > keyBytesMax) {
      return {
        code: 'OutputMismatch',
        path: sink.key[0]!,
        message: `The key has more than ${keyBytesMax} bytes.`,
      };
    }
    written.push(JSON.stringify(texts));
  }
  return written;
}

type Refusal = Pick<Rejection, 'code' | 'path' | 'message'>;

function refusal(code: keyof typeof rejections, path: string, type: string): Refusal {
  const message =
    code === 'OutputMismatch' ? `The value does not fit a column of type ${type}.` : rejections[code];
  return { code, path, message };
}

function keyBytes(sink: PreparedDefinition['sink'], texts: readonly (string | null)[]): number {
  let sizeBytes = 0;
  sink.columns.forEach((column, i) => {
    if (sink.key.includes(column.name)) sizeBytes += Buffer.byteLength(texts[i] ?? '');
  });
  return sizeBytes;
}

function parseParameters({ pipeline }: PreparedDefinition, sent: unknown): unknown {
  const parsed = pipeline.parameters.safeParse(sent ?? {});
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((i) => ({ path: i.path.join('.'), message: i.message }));
  throw new WaybillError('ParametersInvalid', { issues });
}

function guarded(position: number, work: () => TransformOutcome): TransformOutcome {
  try {
    return work();
  } catch (cause) {
    const detail = `position ${position}: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new WaybillError('TransformFailed', { detail, cause });
  }
}
