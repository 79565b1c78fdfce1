import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { DeadLetter, DeadLetters } from '../../../domain/ports/deadLetters.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import { sql } from '../../../domain/sql.ts';
import type { Tenants } from '../tenants.ts';

/** A pipeline may give any code; more of them are of no use in an answer. */
const codesMax = 1_000;

export function createDeadLetters(tenants: Tenants): DeadLetters {
  return {
    async countByCode(tenant, runId) {
      // Summed by batches, as they were counted when the batch was stored: a run may have millions of dead letters.
      const { rows } = await tenants.for(tenant).query<{ code: string; records: number }>(
        sql(
          `SELECT c.key AS code, sum(c.value::bigint)::float8 AS records
           FROM waybill.ledger l, jsonb_each_text(l.rejected_by_code) c
           WHERE l.tenant = :tenant AND l.run_id = :runId GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :codesMax`,
          { tenant, runId, codesMax },
          'count-rejections',
        ),
      );
      return Object.fromEntries(rows.map(({ code, records }) => [code, records]));
    },
  };
}

/** So many bytes of rejected records a run keeps in the database; of the others it keeps where they are. */
const rawBytesMax = 64 * 1024 * 1024;

/**
 * Writes the dead letters of a batch by one statement. A record is rejected once, so run and position name it. Returns how many bytes
 * of records it kept; `keptBytes` are those of the batches before.
 */
export async function insertDeadLetters(
  client: ClientBase,
  batch: Pick<
    BatchToStore,
    'tenant' | 'runId' | 'pipeline' | 'version' | 'principal' | 'seq' | 'deadLetters'
  >,
  keptBytes: number,
): Promise<number> {
  const { tenant, runId, pipeline, version, principal, seq, deadLetters } = batch;
  if (deadLetters.length === 0) return 0;
  const { raws, sizeBytes } = rawsOf(deadLetters, rawBytesMax - keptBytes);
  const of = <T>(pick: (d: DeadLetter) => T) => deadLetters.map(pick);
  await client.query(
    sql(
      `INSERT INTO waybill.dead_letter (tenant, run_id, pipeline, version, principal, seq, id, position, line, row_group,
                                        byte_offset, byte_length, stage, code, path, message, raw, object, source)
       SELECT :tenant, :runId, :pipeline, :version, :principal, :seq, *
       FROM unnest(:ids::text[], :positions::bigint[], :lines::bigint[], :rowGroups::integer[], :offsets::bigint[], :lengths::bigint[],
                   :stages::text[], :codes::text[], :paths::text[], :messages::text[], :raws::bytea[],
                   :objects::jsonb[], :sources::text[])`,
      {
        ...{ tenant, runId, pipeline, version, principal, seq },
        ids: of((d) => deadLetterId(runId, d.position)),
        positions: of((d) => d.position),
        lines: of((d) => d.line),
        rowGroups: of((d) => d.rowGroup ?? null),
        offsets: of((d) => d.byteOffset),
        lengths: of((d) => d.byteLength),
        stages: of((d) => d.stage),
        codes: of((d) => d.code),
        paths: of((d) => storable(d.path)),
        messages: of((d) => storable(d.message)),
        raws,
        objects: deadLetters.map((d, i) => (raws[i] ? null : JSON.stringify(d.object))),
        sources: of((d) => d.source ?? null),
      },
      'insert-dead-letters',
    ),
  );
  return sizeBytes;
}

/** The bytes of the first records that fit; `null` for the others. */
function rawsOf(deadLetters: readonly DeadLetter[], leftBytes: number) {
  let sizeBytes = 0;
  const raws = deadLetters.map(({ raw }) => {
    if (!raw || sizeBytes + raw.byteLength > leftBytes) return null;
    sizeBytes += raw.byteLength;
    return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  });
  return { raws, sizeBytes };
}

/** How many of them have which code, for the ledger. */
export function countCodes(deadLetters: readonly DeadLetter[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { code } of deadLetters) counts.set(code, (counts.get(code) ?? 0) + 1);
  return Object.fromEntries(counts);
}

/** Deterministic, so that two looks at one record speak of the same dead letter. */
function deadLetterId(runId: string, position: number): string {
  return `dl_${createHash('sha256').update(`${runId}\0${position}`).digest('base64url').slice(0, 22)}`;
}

/** A pipeline’s own message may hold anything; PostgreSQL takes no NUL. */
function storable(text: string): string {
  return text.replaceAll('\0', '\u{FFFD}').toWellFormed();
}
