import type { z } from 'zod';
import { isReject, isSkip, reject, skip } from './outcome.ts';
import { parseFirst } from './parseFirst.ts';
import type { AnyPipeline, OutputSchemas } from './pipeline.ts';

/**
 * The one place where a transform is called and what it returned is interpreted. Pure. `record` is what
 * `pipeline.input` returned; rows come out as `pipeline.output` returns them. Without a transform the record is the
 * row, and `output` (the same schema) is not asked again, for a schema that transforms does so once.
 * If one row of an array does not fit, the whole array is rejected. What the transform throws passes through:
 * the engine makes `TransformFailed` of it.
 */
export function applyTransform(
  pipeline: AnyPipeline,
  record: unknown,
  parameters: unknown,
  /** What was looked up for the record, where the pipeline enriches. */
  enriched?: unknown,
): TransformOutcome {
  const { transform, output, outputs } = pipeline;
  if (!transform) return { kind: 'rows', rows: [record] };
  const returned: unknown = transform(record, { parameters, enriched, skip, reject });
  if (isSkip(returned)) return { kind: 'filtered', code: returned.code };
  if (isReject(returned)) return refused(returned.code, returned.path, returned.message);
  if (returned === null || returned === undefined) {
    return refused(
      'OutputMismatch',
      '',
      'The transform returned nothing. Return skip(code) to leave a record out.',
    );
  }
  if (outputs) return readOutputs(outputs, returned);
  const parsed = readRows(output, returned, '');
  return 'kind' in parsed ? parsed : outcomeOf(parsed);
}

export type TransformOutcome =
  /** At least one. Where the pipeline has several outputs, each is an `OutputRow`. */
  | { kind: 'rows'; rows: unknown[] }
  | { kind: 'filtered'; code: string }
  | { kind: 'rejected'; code: string; path: string; message: string };

/** A row of one of several outputs. */
export interface OutputRow {
  output: string;
  row: Record<string, unknown>;
}

/** One row that does not fit rejects those of all outputs. An output that is not named may have been forgotten. */
function readOutputs(outputs: OutputSchemas, returned: unknown): TransformOutcome {
  const names = Object.keys(outputs);
  const given = typeof returned === 'object' && !Array.isArray(returned) ? (returned as object) : {};
  const other = Object.keys(given).find((name) => !Object.hasOwn(outputs, name));
  if (other !== undefined)
    return refused('OutputMismatch', '', `The pipeline has no such output. It has ${names.join(', ')}.`);
  const rows: OutputRow[] = [];
  for (const name of names) {
    const own: unknown = (given as Record<string, unknown>)[name];
    if (own === null || own === undefined)
      return refused('OutputMismatch', name, 'The transform returned no rows for it. Return [] for none.');
    const parsed = readRows(outputs[name]!, own, name);
    if ('kind' in parsed) return parsed;
    for (const row of parsed) rows.push({ output: name, row: row as Record<string, unknown> });
  }
  return outcomeOf(rows);
}

function outcomeOf(rows: unknown[]): TransformOutcome {
  return rows.length > 0 ? { kind: 'rows', rows } : { kind: 'filtered', code: 'NoRows' };
}

function readRows(schema: z.ZodType, returned: unknown, at: string): unknown[] | TransformOutcome {
  if (!Array.isArray(returned)) {
    const parsed = parseFirst(schema, returned, true);
    return parsed.success ? [parsed.data] : mismatch(parsed.issue, at);
  }
  const rows: unknown[] = [];
  for (const [i, row] of returned.entries()) {
    const parsed = parseFirst(schema, row, true);
    if (!parsed.success) return mismatch(parsed.issue, at, `[${i}]`);
    rows.push(parsed.data);
  }
  return rows;
}

export function refused(
  code: string,
  path: string,
  message: string,
): TransformOutcome & { kind: 'rejected' } {
  return { kind: 'rejected', code, path, message };
}

function mismatch(issue: z.core.$ZodIssue, ...at: string[]): TransformOutcome {
  return refused(
    'OutputMismatch',
    [...at, ...issue.path.map(String)].filter(Boolean).join('.'),
    issue.message,
  );
}
