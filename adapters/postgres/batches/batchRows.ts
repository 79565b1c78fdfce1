import type { ClientBase } from 'pg';
import { WaybillError } from '../../../domain/errors.ts';
import type { Batch } from '../../../domain/runs/batch.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';

/**
 * Appends a batch and wakes who waits for the run. The same batch again changes nothing; another one under the
 * same number means that the source gave other bytes than before: `SourceChanged`.
 */
export async function insertBatch(client: ClientBase, runId: string, batch: Batch): Promise<void> {
  const { seq, digest, sizeBytes, firstByte, firstRecord, firstLine, records } = batch;
  const { rowGroup, header, refused, source, sourceVersion, bytes } = batch;
  const { rowCount } = await client.query(
    sql(
      `INSERT INTO waybill.batch
             (run_id, seq, digest, size_bytes, first_byte, first_record, first_line, row_group, records, header, refused,
              source, source_version, bytes)
           VALUES (:runId, :seq, :digest, :sizeBytes, :firstByte, :firstRecord, :firstLine, :rowGroup, :records, :header::jsonb,
                 :refused, :source, :sourceVersion, :bytes) ON CONFLICT DO NOTHING`,
      {
        runId,
        seq,
        digest,
        sizeBytes,
        firstByte,
        firstRecord,
        firstLine,
        rowGroup: rowGroup ?? null,
        records,
        header: jsonParam(header),
        refused: refused ?? null,
        source: source ?? null,
        sourceVersion: sourceVersion ?? null,
        bytes: bytes ? Buffer.from(bytes) : null,
      },
      'insert-batch',
    ),
  );
  if (rowCount) {
    await client.query(sql(`SELECT pg_notify('waybill_run', :runId)`, { runId }, 'notify-run'));
    return;
  }
  const standing = await client.query<{ digest: string }>(
    sql('SELECT digest FROM waybill.batch WHERE run_id = :runId AND seq = :seq', { runId, seq }),
  );
  if (standing.rows[0]?.digest !== digest)
    throw new WaybillError('SourceChanged', { detail: `${runId} batch ${seq}` });
}

/** The batches of the run `:runId`. */
export const selectBatch = `SELECT seq, digest, size_bytes AS "sizeBytes", first_byte AS "firstByte",
  first_record AS "firstRecord", first_line AS "firstLine", row_group AS "rowGroup", records, header, refused,
  source, source_version AS "sourceVersion", encode(bytes, 'base64') AS bytes
  FROM waybill.batch WHERE run_id = :runId`;

/** `bigint` columns arrive as strings; none of these exceeds 2^53. */
export function batchFromRow(row: Record<string, unknown>): Batch {
  const { rowGroup, header, refused, source, sourceVersion, bytes } = row;
  return {
    seq: Number(row.seq),
    digest: String(row.digest),
    sizeBytes: Number(row.sizeBytes),
    firstByte: Number(row.firstByte),
    firstRecord: Number(row.firstRecord),
    firstLine: Number(row.firstLine),
    ...(rowGroup === null || rowGroup === undefined ? {} : { rowGroup: Number(rowGroup) }),
    records: Number(row.records),
    ...(typeof bytes === 'string' ? { bytes: Buffer.from(bytes, 'base64') } : {}),
    ...(header ? { header: header as string[] } : {}),
    ...(refused ? { refused: refused as NonNullable<Batch['refused']> } : {}),
    ...(source ? { source: String(source) } : {}),
    ...(sourceVersion ? { sourceVersion: String(sourceVersion) } : {}),
  };
}
