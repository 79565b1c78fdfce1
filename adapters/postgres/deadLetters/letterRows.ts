import type { DeadLetter } from '../../../domain/deadLetters/deadLetter.ts';
import type { LetterFilter } from '../../../domain/deadLetters/letterStates.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { StoredLetter } from '../../../domain/ports/deadLetters.ts';
import type { Params } from '../../../domain/sql.ts';

/** Place of a letter `d` in the order of lists: microseconds since 1970 and the serial number. */
export const cursorSql = `(extract(epoch FROM d.created_at) * 1000000)::bigint || '.' || d.n`;

/** Columns of a `DeadLetter`, of a row `d`. */
export const letterColumns = `d.id, d.tenant, d.run_id, d.pipeline, d.version, d.state, d.attempt, d.revision, d.position, d.line, d.row_group,
  d.byte_offset, d.byte_length, d.stage, d.code, d.path, d.message, d.source, d.created_at, d.changed_at, d.edit_form,
  d.edited_by, d.edited_at, d.discarded_by, d.reason, d.redrive_run,
  array_remove(coalesce(d.redrive_runs, ARRAY[d.redrive_run]), NULL) AS redrive_runs`;

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
export function letterFromRow(row: any): DeadLetter {
  return {
    id: row.id,
    tenant: row.tenant,
    runId: row.run_id,
    pipeline: row.pipeline,
    version: row.version,
    state: row.state,
    attempt: row.attempt,
    revision: row.revision,
    position: Number(row.position),
    line: Number(row.line),
    ...(row.row_group !== null && { rowGroup: row.row_group }),
    byteOffset: Number(row.byte_offset),
    byteLength: Number(row.byte_length),
    stage: row.stage,
    code: row.code,
    path: row.path,
    message: row.message,
    ...(row.source !== null && { source: row.source }),
    createdAt: row.created_at.toISOString(),
    changedAt: row.changed_at?.toISOString() ?? null,
    edited: row.edit_form && { by: row.edited_by, at: row.edited_at.toISOString(), form: row.edit_form },
    discarded: row.state === 'discarded' ? { by: row.discarded_by, reason: row.reason } : null,
    redriveRun: row.redrive_run,
    redriveRuns: row.redrive_runs,
  };
}

/** Columns of a `StoredLetter`, of a row `d` and its batch `b`. */
export const storedColumns = `d.id, ${cursorSql} AS cursor, d.revision, d.state, d.run_id AS "runId", d.pipeline, d.code, d.path,
  d.redrive_run AS "redriveRun", d.byte_length::float8 AS "byteLength",
  coalesce(d.raw, substring(b.bytes FROM (d.object ->> 'offset')::integer + 1 FOR d.byte_length::integer)) AS raw,
  d.object, b.header, coalesce(d.edit_version, d.version) AS version, d.edit_form, d.edit`;

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
export function storedFromRow({ edit_form, edit, ...row }: any): StoredLetter {
  return { ...row, edit: edit_form && { form: edit_form, bytes: edit } };
}

/** The order in which an index is chosen: the first that is named of these. */
const fields = ['run', 'code', 'path', 'state', 'pipeline'] as const;
const columns = { run: 'run_id', code: 'code', path: 'path', state: 'state', pipeline: 'pipeline' } as const;

export interface LetterCondition {
  /** What one index answers, within `from` and `to`. */
  indexed: string;
  /** What each letter is asked beside. */
  others: string;
  /** Of `indexed`. */
  params: Params;
  /** Of `others`. */
  otherParams: Params;
}

/** A filter as conditions on `waybill.dead_letter d`. */
export function conditionOf(tenant: string, filter: LetterFilter): LetterCondition {
  const given = fields.filter((field) => filter[field] !== undefined);
  const [first, ...others] = given.map((field) => `d.${columns[field]} = :${field}`);
  const paramsOf = (some: readonly (typeof fields)[number][]) =>
    Object.fromEntries(some.map((field) => [field, filter[field]]));
  const { from, to } = filter;
  const indexed = [
    'd.tenant = :tenant',
    ...(first ? [first] : []),
    ...(from === undefined ? [] : ['d.created_at >= :from::timestamptz']),
    ...(to === undefined ? [] : ['d.created_at < :to::timestamptz']),
  ];
  return {
    indexed: indexed.join(' AND '),
    others: others.length > 0 ? others.join(' AND ') : 'true',
    params: {
      tenant,
      ...paramsOf(given.slice(0, 1)),
      ...(from !== undefined && { from }),
      ...(to !== undefined && { to }),
    },
    otherParams: paramsOf(given.slice(1)),
  };
}

/** Throws `InvalidRequest` for what is no cursor of a list of letters. */
export function placeOf(cursor: string): { micros: string; n: string } {
  const [, micros, n] = /^(\d{1,17})\.(\d{1,18})$/.exec(cursor) ?? [];
  if (micros === undefined || n === undefined)
    throw new WaybillError('InvalidRequest', { issues: [{ path: '/cursor', message: 'Unknown cursor.' }] });
  return { micros, n };
}
