import type { z } from 'zod';
import { isReject, isSkip, reject, skip } from './outcome.ts';
import { parseFirst } from './parseFirst.ts';
import type { AnyPipeline } from './pipeline.ts';

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
  const { transform, output } = pipeline;
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
  if (!Array.isArray(returned)) {
    const parsed = parseFirst(output, returned, true);
    return parsed.success ? { kind: 'rows', rows: [parsed.data] } : mismatch(parsed.issue);
  }
  if (returned.length === 0) return { kind: 'filtered', code: 'NoRows' };
  const rows: unknown[] = [];
  for (const [i, row] of returned.entries()) {
    const parsed = parseFirst(output, row, true);
    if (!parsed.success) return mismatch(parsed.issue, `[${i}]`);
    rows.push(parsed.data);
  }
  return { kind: 'rows', rows };
}

export type TransformOutcome =
  /** At least one. */
  | { kind: 'rows'; rows: unknown[] }
  | { kind: 'filtered'; code: string }
  | { kind: 'rejected'; code: string; path: string; message: string };

export function refused(
  code: string,
  path: string,
  message: string,
): TransformOutcome & { kind: 'rejected' } {
  return { kind: 'rejected', code, path, message };
}

function mismatch(issue: z.core.$ZodIssue, at = ''): TransformOutcome {
  return refused('OutputMismatch', [at, ...issue.path.map(String)].filter(Boolean).join('.'), issue.message);
}
