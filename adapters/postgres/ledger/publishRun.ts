import type { ClientBase } from 'pg';
import { connectors } from '../../../connectors/index.ts';
import type {
  RowOutcome,
  SinkRun,
  StagedOutcome,
  StagedWriter,
} from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import type { Ledger, Preview, Publication, StagedRun } from '../../../domain/ports/ledger.ts';
import type { Credential } from '../../../domain/revocation.ts';
import { addCounts, type Counts, zeroCounts } from '../../../domain/runs/run.ts';
import { sql } from '../../../domain/sql.ts';
import { auditParams, auditSql } from '../audit.ts';
import {
  countCodes,
  recordLetters,
  type SettledLetters,
  settleLetters,
} from '../deadLetters/recordLetters.ts';
import { credentialParams, isRevokedSql } from '../rights/revokedSql.ts';
import { beginTurn, lockOf, lockOpenRun, nextVersionSql, readVersion } from './storeTurn.ts';
import { moveWatermark } from './watermarks.ts';

/** A million rows take a minute or two, of which most goes by between the statements, while the next batch is read. */
const patience = `
  SELECT set_config('statement_timeout', '10min', true), set_config('idle_in_transaction_session_timeout', '3min', true)`;

export async function previewRun(client: ClientBase, staged: StagedRun): Promise<Preview> {
  const writer = stagedWriterOf(staged.sink);
  await client.query(patience);
  let emitted = 0;
  await writer.stage(client, staged, ({ rows }) => {
    emitted += rows.emitted;
  });
  // Before the comparison: a change in between then makes the preview stale, and never a newer one than it is.
  const baseVersion = await readVersion(client, staged);
  const { tenant, runId, sink } = staged;
  const run = { tenant, runId, sink, order: await readOrder(client, staged), earlierOpen: false };
  return { baseVersion, changes: changesOf(await previewOf(client, writer, staged, run), emitted) };
}

/** Rows that are written outside of the database are counted here, and all of them are new. */
function stagedWriterOf(sink: SinkManifest): StagedWriter {
  const { writer } = connectors.sink(sink.kind);
  if (writer) return writer.staged!;
  const batches: RowOutcome[] = [];
  return {
    async stage(_client, run, onBatch) {
      for await (const batch of run.batches()) {
        await onBatch(batch);
        batches.push({ seq: batch.seq, added: batch.rows.emitted, changed: 0, unchanged: 0 });
      }
    },
    preview: async () => ({ batches }),
    async publish() {
      const stored = batches.reduce((sum, { added }) => sum + added, 0);
      return { stored, wrote: stored > 0 };
    },
  };
}

const noChange: StagedOutcome = { batches: [] };

/** A run that came too late, or of which no record fitted, leaves a table alone that it would replace. */
async function previewOf(
  client: ClientBase,
  writer: StagedWriter,
  staged: StagedRun,
  run: SinkRun,
): Promise<StagedOutcome> {
  if (run.sink.atEnd !== 'replace') return writer.preview(client, run);
  if (staged.fitsNothing || (await isReplacedLater(client, run))) return noChange;
  return writer.preview(client, run);
}

/**
 * In this order: publications of one run take turns, so that a zombie and its retry meet before either writes; the rows are staged,
 * which takes long and blocks no other transaction; the table is locked for the tenant; `permits` decides whether what would happen
 * now is what was permitted; all is written; the letters of a redrive are settled; and last the revocations are checked, so that a
 * right revoked in between counts too.
 */
export async function publishRun(
  client: ClientBase,
  publication: Publication,
): Promise<Awaited<ReturnType<Ledger['publishRun']>>> {
  const { tenant, runId } = publication;
  const writer = stagedWriterOf(publication.sink);
  await client.query(patience);
  await client.query(sql('SELECT pg_advisory_xact_lock(:lock)', { lock: lockOf(tenant, `run ${runId}`) }));
  const recorded = await findRecorded(client, publication);
  if (recorded) return { outcome: 'published', counts: recorded };

  // Without a batch there still is an entry, which says that the run is published.
  const none = { counts: zeroCounts, rejectedByCode: {}, deadLetterBytes: 0 };
  const entries = new Map<number, Entry>([[0, none]]);
  let keptBytes = 0;
  const again: SettledLetters['rejected'][number][] = [];
  await writer.stage(client, publication, async ({ seq, counts, deadLetters, ...batch }) => {
    let deadLetterBytes = 0;
    if (publication.settlesLetters)
      // Without their bytes, which the letters have already.
      again.push(...deadLetters.map(({ raw: _, ...letter }) => letter));
    else {
      const whole = { ...publication, ...batch, seq, counts, deadLetters };
      deadLetterBytes = await recordLetters(client, whole, keptBytes, publication.audit(counts));
    }
    keptBytes += deadLetterBytes;
    entries.set(seq, { counts, rejectedByCode: countCodes(deadLetters), deadLetterBytes });
  });
  await beginTurn(client, publication);
  const run = await lockOpenRun(client, publication);
  if (publication.approval !== undefined) await lockApproval(client, publication.runId, publication.approval);
  const outcome = await previewOf(client, writer, publication, run);
  const { emitted } = sumOf([...entries.values()].map(({ counts }) => counts));
  const baseVersion = await readVersion(client, publication);
  if (!publication.permits({ baseVersion, changes: changesOf(outcome, emitted) })) return rollBack(client);
  const { wrote, ...done } =
    outcome === noChange ? { stored: 0, wrote: false } : await writer.publish(client, run);
  // Another program than Waybill wrote in between; no lock of ours holds it.
  const expected = outcome.batches.reduce((sum, { added, changed }) => sum + added + changed, 0);
  if (done.stored !== expected || (done.removed ?? 0) !== (outcome.removed ?? 0)) return rollBack(client);
  if (run.sink.atEnd === 'replace' && outcome !== noChange) await recordReplaced(client, run);
  for (const credential of publication.approvers)
    if (await isRevoked(client, credential)) return rollBack(client);
  if (publication.settlesLetters) {
    const counts = sumOf([...entries.values()].map((entry) => entry.counts));
    const settled = { first: 0, records: counts.read, rejected: again };
    await settleLetters(client, publication, settled, publication.audit(counts));
  }
  const total = await recordEntries(client, publication, entriesOf(entries, outcome.batches), wrote);
  if (publication.movesWatermark) await moveWatermark(client, publication, publication.audit(total));
  return { outcome: 'published', counts: total };
}

async function findRecorded(client: ClientBase, { tenant, runId }: Publication): Promise<Counts | undefined> {
  const { rows } = await client.query<{ counts: Counts }>(
    sql('SELECT counts FROM waybill.ledger WHERE tenant = :tenant AND run_id = :runId', { tenant, runId }),
  );
  return rows.length > 0 ? sumOf(rows.map(({ counts }) => counts)) : undefined;
}

async function readOrder(client: ClientBase, { runId }: StagedRun): Promise<string> {
  const { rows } = await client.query<{ order: string }>(
    sql('SELECT accepted_order AS order FROM waybill.run WHERE id = :runId', { runId }),
  );
  if (!rows[0]) throw new WaybillError('RunNotFound', { detail: runId });
  return rows[0].order;
}

/** No other transaction can end it until we commit. Throws `ApprovalRequired`. */
async function lockApproval(client: ClientBase, runId: string, approval: string): Promise<void> {
  const { rowCount } = await client.query(
    sql(
      `SELECT FROM waybill.approval
       WHERE id = :approval AND run_id = :runId AND state IN ('approved', 'waived') FOR SHARE`,
      { approval, runId },
    ),
  );
  if (!rowCount)
    throw new WaybillError('ApprovalRequired', { detail: `${approval} of ${runId} is not approved` });
}

async function isRevoked(client: ClientBase, credential: Credential): Promise<boolean> {
  const { rows } = await client.query<{ revoked: boolean }>(
    sql(`SELECT ${isRevokedSql} AS revoked`, credentialParams(credential)),
  );
  return rows[0]!.revoked;
}

/** Whether a run that was accepted later has replaced the table: it wins, whichever publishes first. */
async function isReplacedLater(client: ClientBase, { tenant, sink, order }: SinkRun): Promise<boolean> {
  const { rowCount } = await client.query(
    sql(
      `SELECT FROM waybill.sink_version
       WHERE tenant = :tenant AND table_name = :table AND replaced_order > :order::bigint`,
      { tenant, table: sink.table, order },
    ),
  );
  return rowCount === 1;
}

async function recordReplaced(client: ClientBase, { sink, order }: SinkRun): Promise<void> {
  await client.query(
    sql(
      `INSERT INTO waybill.sink_version AS v (table_name, version, replaced_order) VALUES (:table, 0, :order::bigint)
       ON CONFLICT (tenant, table_name) DO UPDATE SET replaced_order = EXCLUDED.replaced_order`,
      { table: sink.table, order },
    ),
  );
}

/** What was written so far must not stay. The commit that follows finds nothing to do. */
async function rollBack(client: ClientBase): Promise<{ outcome: 'stale' }> {
  await client.query('ROLLBACK');
  return { outcome: 'stale' };
}

interface Entry {
  counts: Counts;
  rejectedByCode: Readonly<Record<string, number>>;
  deadLetterBytes: number;
}

/** Ledger entries, version of the table and audit event, unless the grant is revoked. Throws `GrantRevoked`. */
async function recordEntries(
  client: ClientBase,
  publication: Publication,
  entries: ReadonlyMap<number, Entry>,
  wrote: boolean,
): Promise<Counts> {
  const { tenant, runId, sink, credential } = publication;
  const total = sumOf([...entries.values()].map(({ counts }) => counts));
  const { rowCount } = await client.query(
    sql(
      `WITH entry AS (
         INSERT INTO waybill.ledger (tenant, run_id, seq, counts, rejected_by_code, dead_letter_bytes)
         SELECT :tenant, :runId, seq, counts, rejected, kept
         FROM unnest(:seqs::integer[], :counts::jsonb[], :rejected::jsonb[], :kept::bigint[])
           AS e (seq, counts, rejected, kept)
         WHERE NOT ${isRevokedSql} RETURNING run_id
       ), once AS (
         SELECT run_id FROM entry LIMIT 1
       ), versioned AS (${nextVersionSql('once')}), audited AS (${auditSql('once')})
       SELECT pg_notify('waybill_run', run_id) FROM once`,
      {
        tenant,
        runId,
        seqs: [...entries.keys()],
        counts: [...entries.values()].map(({ counts }) => JSON.stringify(counts)),
        rejected: [...entries.values()].map(({ rejectedByCode }) => JSON.stringify(rejectedByCode)),
        kept: [...entries.values()].map(({ deadLetterBytes }) => deadLetterBytes),
        ...credentialParams(credential),
        table: sink.table,
        wrote,
        ...auditParams(publication.audit(total)),
      },
    ),
  );
  if (!rowCount) throw new WaybillError('GrantRevoked', { detail: `while ${runId} was published` });
  return total;
}

function entriesOf(before: ReadonlyMap<number, Entry>, outcomes: readonly RowOutcome[]): Map<number, Entry> {
  const bySeq = new Map(outcomes.map((outcome) => [outcome.seq, outcome]));
  const none = { added: 0, changed: 0, unchanged: 0 };
  return new Map(
    [...before].map(([seq, { counts, ...entry }]) => {
      const stored = storeCounts(bySeq.get(seq) ?? none, counts.emitted);
      return [seq, { ...entry, counts: { ...counts, ...stored } }];
    }),
  );
}

function changesOf({ batches, removed }: StagedOutcome, emitted: number): Preview['changes'] {
  const sum = { added: 0, changed: 0, unchanged: 0 };
  for (const { added, changed, unchanged } of batches) {
    sum.added += added;
    sum.changed += changed;
    sum.unchanged += unchanged;
  }
  const { deduplicated } = storeCounts(sum, emitted);
  return { ...sum, deduplicated, ...(removed !== undefined && { removed }) };
}

/** An emitted row that is neither stored nor there already was replaced by a later row, of this run or another. */
function storeCounts(
  { added, changed, unchanged }: Omit<RowOutcome, 'seq'>,
  emitted: number,
): Pick<Counts, 'stored' | 'unchanged' | 'deduplicated'> {
  const stored = added + changed;
  return { stored, unchanged, deduplicated: emitted - stored - unchanged };
}

function sumOf(all: readonly Counts[]): Counts {
  return all.reduce((sum, counts) => addCounts(sum, counts), zeroCounts);
}
