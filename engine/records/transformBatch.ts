import { LineWriter } from '../../connectors/lineWriter.ts';
import type { RowTexts } from '../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import { applyTransform, type TransformOutcome } from '../../domain/pipelines/applyTransform.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';
import type { RecordRejection, Rejection } from '../../domain/runs/rejection.ts';
import { codeFailure, type Progress } from './codeFailure.ts';
import type { PreparedDefinition } from './definition.ts';
import { eachLine } from './eachLine.ts';

/**
 * Calls the pipeline’s transform on each valid record. A row leaves as the texts of its columns, in the order of the
 * sink, `null` for NULL. If the table cannot take one row of a record, the whole record is rejected.
 * Throws `TransformFailed` where the pipeline’s code throws, `ParametersInvalid` where the parameters do not fit.
 */
export function transformBatch(
  definition: PreparedDefinition,
  sent: unknown,
  bytes: Buffer,
  progress?: Progress,
): StageResult {
  const { pipeline, codec } = definition;
  const parameters = parseParameters(definition, sent);
  const rejected: Rejection[] = [];
  const counts = { passed: 0, filtered: 0, rejected: 0, emitted: 0 };
  const lines = new LineWriter(bytes.length);

  eachLine(bytes, ([position, line, byteOffset, byteLength, value]) => {
    const place = { position, line, byteOffset, byteLength };
    progress?.set([position, line]);
    const record = codec.restore(value);
    const outcome = transformOne(place, record, () => applyTransform(pipeline, record, parameters));
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

function transformOne(
  place: { position: number; line: number },
  record: unknown,
  work: () => TransformOutcome,
): TransformOutcome {
  try {
    return work();
  } catch (cause) {
    throw codeFailure('The transform', place, cause, record);
  }
}

/** JSON texts of the rows, or why one of them cannot be kept: then none is. */
function writeRows({ encoder }: PreparedDefinition, rows: readonly unknown[]): string[] | RecordRejection {
  const written: string[] = [];
  for (const row of rows) {
    const texts = encoder.write(row as Record<string, unknown>);
    if (!isTexts(texts)) return texts;
    written.push(JSON.stringify(texts));
  }
  return written;
}

function isTexts(texts: RowTexts | RecordRejection): texts is RowTexts {
  return Array.isArray(texts);
}

function parseParameters({ pipeline }: PreparedDefinition, sent: unknown): unknown {
  const parsed = pipeline.parameters.safeParse(sent ?? {});
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((i) => ({ path: i.path.join('.'), message: i.message }));
  throw new WaybillError('ParametersInvalid', { issues });
}

/** Encodes the rows of a batch for its sink. */
export function encodeBatch({ encoder }: PreparedDefinition, bytes: Buffer): EncodedRows {
  return encoder.encode(
    (visit) => eachLine(bytes, ([position, , , , texts]) => visit(position, texts as RowTexts)),
    bytes.length,
  );
}
