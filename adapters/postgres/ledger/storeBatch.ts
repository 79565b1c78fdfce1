import type { ClientBase } from 'pg';
import { connectors } from '../../../connectors/index.ts';
import { splitOutputs } from '../../../domain/connectors/outputRows.ts';
import type { RowCounts, RowsToWrite } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { outputsOf } from '../../../domain/pipelines/outputs.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import type { EncodedRows, RejectedRecord } from '../../../domain/ports/sinkRows.ts';
import {
  addOutputCounts,
  type CountsByOutput,
  type OutputCounts,
  zeroOutputCounts,
} from '../../../domain/runs/outputCounts.ts';
import { addCounts, type Counts } from '../../../domain/runs/run.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { auditParams, auditSql } from '../audit.ts';
import { countCodes, recordLetters } from '../deadLetters/recordLetters.ts';
import { credentialParams, isRevokedSql } from '../rights/revokedSql.ts';
import { beginTurn, lockOpenRun, nextVersionSql } from './storeTurn.ts';
import { moveWatermark } from './watermarks.ts';

/** Composes what a batch changes, in the one transaction of the caller: rows, dead letters, ledger, audit, watermark. */
export async function storeBatch(client: ClientBase, batch: BatchToStore): Promise<Counts> {
  await beginTurn(client, batch);
  const recorded = await findRecorded(client, batch);
  if (recorded) return recorded;
  const run = await lockOpenRun(client, batch);
  const { rows, counts } = batch;
  const { counts: stored, ...wrote } = await writeBatchRows(client, batch, { ...run, rows });
  return recordBatch(client, batch, addCounts({ ...counts, emitted: 0 }, stored), wrote);
}

/** Also says what of the counts before storing does not hold, where the database rejected records. */
export async function writeBatchRows(
  client: ClientBase,
  { sink, apart }: BatchToStore,
  rows: RowsToWrite,
): Promise<{ counts: Partial<Counts> } & WrittenRows> {
  // A run of any other kind is published at its end; its grant does not name this step.
  const writer = connectors.sink(sink.kind).writer!;
  if (!apart || !writer.writeApart) {
    const byOutput = new Map<string, WrittenOutput>();
    const moreFollow = sink.outputs !== undefined;
    for await (const { output, ...own } of splitOutputs(rows)) {
      const { emitted } = own.rows;
      byOutput.set(output, { emitted, ...(await writer.write(client, own, { moreFollow })) });
    }
    return { ...sumOutputs(sink, byOutput), rejected: [] };
  }
  const held: (RowsToWrite & { output: string })[] = [];
  for await (const own of splitOutputs(rows)) held.push({ ...own, rows: await hold(own.rows) });
  const { counts, rejected } = await writer.writeApart(client, held);
  const byOutput = held.map(({ output }, i): [string, WrittenOutput] => {
    const { stored, unchanged, deduplicated } = counts[i]!;
    return [output, { ...counts[i]!, emitted: stored + unchanged + deduplicated }];
  });
  const left = rejected.reduce((sum, record) => sum + record.rows, 0);
  const sum = sumOutputs(sink, new Map(byOutput));
  const corrected = {
    emitted: rows.rows.emitted - left,
    rejected: rejected.length,
    passed: -rejected.length,
  };
  return { ...sum, rejected, counts: { ...sum.counts, ...corrected } };
}

interface WrittenRows {
  /** Tables that differ now. */
  written: readonly string[];
  rejected: readonly RejectedRecord[];
  countsByOutput?: CountsByOutput | undefined;
}

type WrittenOutput = RowCounts & Pick<OutputCounts, 'emitted'>;

/** An output without rows in a batch counts too. */
function sumOutputs(
  sink: SinkManifest,
  byOutput: ReadonlyMap<string, WrittenOutput>,
): { counts: OutputCounts; written: string[]; countsByOutput?: CountsByOutput | undefined } {
  const counted = outputsOf(sink).map(({ name, sink: { table } }) => {
    const { wrote, ...counts } = byOutput.get(name) ?? { ...zeroOutputCounts, wrote: false };
    return { name, table, wrote, counts };
  });
  return {
    counts: counted.reduce((sum, { counts }) => addOutputCounts(sum, counts), zeroOutputCounts),
    written: counted.flatMap(({ table, wrote }) => (wrote ? [table] : [])),
    countsByOutput: sink.outputs && Object.fromEntries(counted.map(({ name, counts }) => [name, counts])),
  };
}

/** The rows of an output are read before those of the next. */
async function hold({ emitted, sizeBytes, chunks }: EncodedRows): Promise<EncodedRows> {
  const held: Uint8Array[] = [];
  for await (const chunk of chunks()) held.push(chunk);
  return {
    emitted,
    sizeBytes,
    async *chunks() {
      yield* held;
    },
  };
}

/** All that a batch leaves beside its rows. */
export async function recordBatch(
  client: ClientBase,
  batch: BatchToStore,
  counts: Counts,
  { written, rejected, countsByOutput }: WrittenRows,
): Promise<Counts> {
  const more = rejected.length > 0 ? await batch.lettersOf(rejected) : [];
  const whole = { ...batch, counts, deadLetters: [...batch.deadLetters, ...more] };
  const keptBytes = await readKeptBytes(client, whole);
  const deadLetterBytes = await recordLetters(client, whole, keptBytes, batch.audit(counts));
  await recordEntry(client, whole, { counts, countsByOutput, written, deadLetterBytes });
  if (batch.movesWatermark) await moveWatermark(client, batch, batch.audit(counts));
  return counts;
}

export async function findRecorded(client: ClientBase, batch: BatchToStore): Promise<Counts | undefined> {
  const { tenant, runId, seq } = batch;
  const { rows } = await client.query<{ counts: Counts }>(
    sql(
      'SELECT counts FROM waybill.ledger WHERE tenant = :tenant AND run_id = :runId AND seq = :seq',
      { tenant, runId, seq },
      'find-ledger-entry',
    ),
  );
  return rows[0]?.counts;
}

/** How many bytes of rejected records the run keeps already. */
async function readKeptBytes(
  client: ClientBase,
  { tenant, runId, deadLetters }: BatchToStore,
): Promise<number> {
  if (deadLetters.length === 0) return 0;
  const { rows } = await client.query<{ kept: number }>(
    sql(
      `SELECT coalesce(sum(dead_letter_bytes), 0)::float8 AS kept FROM waybill.ledger
       WHERE tenant = :tenant AND run_id = :runId`,
      { tenant, runId },
      'dead-letter-bytes',
    ),
  );
  return rows[0]!.kept;
}

/**
 * The primary key of the ledger backs up the lock: a second entry would fail the whole transaction. Revocations
 * are checked here, last of all, so that a right revoked while rows were written counts too. Throws `GrantRevoked`.
 */
async function recordEntry(
  client: ClientBase,
  batch: BatchToStore,
  {
    counts,
    countsByOutput,
    written,
    deadLetterBytes,
  }: Omit<WrittenRows, 'rejected'> & { counts: Counts; deadLetterBytes: number },
): Promise<void> {
  const { tenant, runId, seq, credential, deadLetters } = batch;
  const { rowCount } = await client.query(
    sql(
      `WITH entry AS (
         INSERT INTO waybill.ledger (tenant, run_id, seq, counts, counts_by_output, rejected_by_code, dead_letter_bytes)
         SELECT :tenant, :runId, :seq, :counts::jsonb, :countsByOutput::jsonb, :rejectedByCode::jsonb, :deadLetterBytes::bigint WHERE NOT ${isRevokedSql} RETURNING run_id
       ), versioned AS (${nextVersionSql('entry')}), audited AS (${auditSql('entry')})
       SELECT pg_notify('waybill_run', run_id) FROM entry`,
      {
        tenant,
        runId,
        seq,
        counts: JSON.stringify(counts),
        countsByOutput: jsonParam(countsByOutput),
        rejectedByCode: JSON.stringify(countCodes(deadLetters)),
        deadLetterBytes,
        ...credentialParams(credential),
        written,
        ...auditParams(batch.audit(counts)),
      },
      'insert-ledger-entry',
    ),
  );
  if (!rowCount)
    throw new WaybillError('GrantRevoked', { detail: `while batch ${seq} of ${runId} was stored` });
}
