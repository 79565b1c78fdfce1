import type { ClientBase } from 'pg';
import { connectors } from '../../../connectors/index.ts';
import { addChanges, type Changes } from '../../../domain/approvals/approval.ts';
import { splitOutputs } from '../../../domain/connectors/outputRows.ts';
import type {
  RowOutcome,
  SinkRun,
  StagedOutcome,
  StagedWriter,
} from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { type Output, outputsOf, tablesOf } from '../../../domain/pipelines/outputs.ts';
import type { Ledger, Preview, Publication, StagedRows, StagedRun } from '../../../domain/ports/ledger.ts';
import type { Credential } from '../../../domain/revocation.ts';
import { addOutputCounts, type CountsByOutput, zeroOutputCounts } from '../../../domain/runs/outputCounts.ts';
import { addCounts, type Counts, zeroCounts } from '../../../domain/runs/run.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
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
  const outputs = stagedOutputsOf(staged.sink);
  await client.query(patience);
  await stageAll(client, outputs, staged, () => {});
  // Before the comparison: a change in between then makes the preview stale, and never a newer one than it is.
  const baseVersion = await readVersion(client, staged);
  const { tenant, runId, sink } = staged;
  const run = { tenant, runId, sink, order: await readOrder(client, staged), earlierOpen: false };
  const found = await previewAll(client, outputs, staged, run);
  return { baseVersion, ...changesOf(sink, found) };
}

/** One output of a run: its rows so far, and what writes them. */
interface StagedOutput extends Output {
  writer: StagedWriter;
  /** By batch. */
  emitted: Map<number, number>;
}

function stagedOutputsOf(sink: SinkManifest): StagedOutput[] {
  return outputsOf(sink).map((output) => {
    const emitted = new Map<number, number>();
    return { ...output, writer: stagedWriterOf(output.sink, emitted), emitted };
  });
}

/** Rows that are written outside of the database are counted here, and all of them are new. */
function stagedWriterOf(sink: SinkManifest, emitted: ReadonlyMap<number, number>): StagedWriter {
  const { writer } = connectors.sink(sink.kind);
  if (writer) return writer.staged!;
  const batches = () => [...emitted].map(([seq, added]) => ({ seq, added, changed: 0, unchanged: 0 }));
  return {
    async begin() {},
    async stage() {},
    async seal() {},
    preview: async () => ({ batches: batches() }),
    async publish() {
      const stored = batches().reduce((sum, { added }) => sum + added, 0);
      return { stored, wrote: stored > 0 };
    },
  };
}

/** Keeps the rows of each output where only this transaction sees them. */
async function stageAll<Batch extends StagedRows>(
  client: ClientBase,
  outputs: readonly StagedOutput[],
  { sink, batches }: Pick<StagedRun<Batch>, 'sink' | 'batches'>,
  onBatch: (batch: Batch) => Promise<void> | void,
): Promise<void> {
  for (const output of outputs) await output.writer.begin(client, output.sink);
  for await (const batch of batches()) {
    await onBatch(batch);
    const { seq } = batch;
    for await (const { output: name, rows } of splitOutputs({ sink, rows: batch.rows })) {
      const output = outputs.find((one) => one.name === name)!;
      output.emitted.set(seq, rows.emitted);
      await output.writer.stage(client, output.sink, { seq, rows });
    }
  }
  for (const output of outputs) await output.writer.seal(client, output.sink);
}

/** What publishing would do to one output. */
interface PreviewedOutput {
  output: StagedOutput;
  outcome: StagedOutcome;
}

/** A run that came too late, or of which no record fitted, leaves tables alone that it would replace. */
async function previewAll(
  client: ClientBase,
  outputs: readonly StagedOutput[],
  staged: StagedRun,
  run: SinkRun,
): Promise<PreviewedOutput[]> {
  if (run.sink.atEnd === 'replace' && (staged.fitsNothing || (await isReplacedLater(client, run))))
    return outputs.map((output) => ({ output, outcome: noChange }));
  const found: PreviewedOutput[] = [];
  for (const output of outputs)
    found.push({ output, outcome: await output.writer.preview(client, { ...run, sink: output.sink }) });
  return found;
}

const noChange: StagedOutcome = { batches: [] };

/**
 * In this order: publications of one run take turns, so that a zombie and its retry meet before either writes; the rows are staged,
 * which takes long and blocks no other transaction; the tables are locked for the tenant; `permits` decides whether what would happen
 * now is what was permitted; all is written; the letters of a redrive are settled; and last the revocations are checked, so that a
 * right revoked in between counts too.
 */
export async function publishRun(
  client: ClientBase,
  publication: Publication,
): Promise<Awaited<ReturnType<Ledger['publishRun']>>> {
  const { tenant, runId, sink } = publication;
  const outputs = stagedOutputsOf(sink);
  await client.query(patience);
  await client.query(sql('SELECT pg_advisory_xact_lock(:lock)', { lock: lockOf(tenant, `run ${runId}`) }));
  const recorded = await findRecorded(client, publication);
  if (recorded) return { outcome: 'published', counts: recorded };

  // Without a batch there still is an entry, which says that the run is published.
  const none = { counts: zeroCounts, rejectedByCode: {}, deadLetterBytes: 0 };
  const entries = new Map<number, Entry>([[0, none]]);
  let keptBytes = 0;
  const again: SettledLetters['rejected'][number][] = [];
  await stageAll(client, outputs, publication, async ({ seq, counts, deadLetters, ...batch }) => {
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
  const found = await previewAll(client, outputs, publication, run);
  const baseVersion = await readVersion(client, publication);
  if (!publication.permits({ baseVersion, ...changesOf(sink, found) })) return rollBack(client);
  const written = await publishAll(client, found, run);
  if (!written) return rollBack(client);
  for (const credential of publication.approvers)
    if (await isRevoked(client, credential)) return rollBack(client);
  if (publication.settlesLetters) {
    const counts = sumOf([...entries.values()].map((entry) => entry.counts));
    const settled = { first: 0, records: counts.read, rejected: again };
    await settleLetters(client, publication, settled, publication.audit(counts));
  }
  const total = await recordEntries(client, publication, entriesOf(sink, entries, found), written);
  if (publication.movesWatermark) await moveWatermark(client, publication, publication.audit(total));
  return { outcome: 'published', counts: total };
}

/** Resolves with the tables that differ now, and `undefined` where something else was written than was found before. */
async function publishAll(
  client: ClientBase,
  found: readonly PreviewedOutput[],
  run: SinkRun,
): Promise<string[] | undefined> {
  const written: string[] = [];
  for (const { output, outcome } of found) {
    if (outcome === noChange) continue;
    const own = { ...run, sink: output.sink };
    const { stored, removed, wrote } = await output.writer.publish(client, own);
    // Another program than Waybill wrote in between; no lock of ours holds it.
    const expected = outcome.batches.reduce((sum, { added, changed }) => sum + added + changed, 0);
    if (stored !== expected || (removed ?? 0) !== (outcome.removed ?? 0)) return undefined;
    if (own.sink.atEnd === 'replace') await recordReplaced(client, own);
    if (wrote) written.push(own.sink.table);
  }
  return written;
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

/** Whether a run that was accepted later has replaced the tables: it wins, whichever publishes first. */
async function isReplacedLater(client: ClientBase, { tenant, sink, order }: SinkRun): Promise<boolean> {
  const { rowCount } = await client.query(
    sql(
      `SELECT FROM waybill.sink_version
       WHERE tenant = :tenant AND table_name = ANY (:tables::text[]) AND replaced_order > :order::bigint LIMIT 1`,
      { tenant, tables: tablesOf(sink), order },
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
  countsByOutput?: CountsByOutput | undefined;
  rejectedByCode: Readonly<Record<string, number>>;
  deadLetterBytes: number;
}

/** Ledger entries, version of the table and audit event, unless the grant is revoked. Throws `GrantRevoked`. */
async function recordEntries(
  client: ClientBase,
  publication: Publication,
  entries: ReadonlyMap<number, Entry>,
  written: readonly string[],
): Promise<Counts> {
  const { tenant, runId, credential } = publication;
  const total = sumOf([...entries.values()].map(({ counts }) => counts));
  const { rowCount } = await client.query(
    sql(
      `WITH entry AS (
         INSERT INTO waybill.ledger (tenant, run_id, seq, counts, counts_by_output, rejected_by_code, dead_letter_bytes)
         SELECT :tenant, :runId, seq, counts, by_output, rejected, kept
         FROM unnest(:seqs::integer[], :counts::jsonb[], :byOutput::jsonb[], :rejected::jsonb[], :kept::bigint[])
           AS e (seq, counts, by_output, rejected, kept)
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
        byOutput: [...entries.values()].map(({ countsByOutput }) => jsonParam(countsByOutput)),
        rejected: [...entries.values()].map(({ rejectedByCode }) => JSON.stringify(rejectedByCode)),
        kept: [...entries.values()].map(({ deadLetterBytes }) => deadLetterBytes),
        ...credentialParams(credential),
        written: [...written],
        ...auditParams(publication.audit(total)),
      },
    ),
  );
  if (!rowCount) throw new WaybillError('GrantRevoked', { detail: `while ${runId} was published` });
  return total;
}

function entriesOf(
  sink: SinkManifest,
  before: ReadonlyMap<number, Entry>,
  found: readonly PreviewedOutput[],
): Map<number, Entry> {
  const outputs = found.map(({ output, outcome }) => ({
    output,
    bySeq: new Map(outcome.batches.map((batch) => [batch.seq, batch])),
  }));
  return new Map(
    [...before].map(([seq, { counts, ...entry }]) => {
      const byOutput = outputs.map(({ output, bySeq }) => {
        const own = bySeq.get(seq) ?? noRows;
        const emitted = output.emitted.get(seq) ?? 0;
        return [output.name, { emitted, ...storeCounts(own, emitted) }] as const;
      });
      const stored = byOutput.reduce((sum, [, own]) => addOutputCounts(sum, own), zeroOutputCounts);
      const countsByOutput = sink.outputs && Object.fromEntries(byOutput);
      return [seq, { ...entry, countsByOutput, counts: { ...counts, ...stored } }];
    }),
  );
}

const noRows = { added: 0, changed: 0, unchanged: 0 };

function changesOf(
  sink: SinkManifest,
  found: readonly PreviewedOutput[],
): Pick<Preview, 'changes' | 'changesByOutput'> {
  const byOutput = found.map(({ output, outcome }) => [output.name, changesIn(output, outcome)] as const);
  const [[, first], ...more] = byOutput as [(typeof byOutput)[number], ...typeof byOutput];
  const changes = more.reduce((sum, [, own]) => addChanges(sum, own), first);
  return { changes, ...(sink.outputs && { changesByOutput: Object.fromEntries(byOutput) }) };
}

function changesIn({ emitted }: StagedOutput, { batches, removed }: StagedOutcome): Changes {
  const sum = { ...noRows };
  for (const { added, changed, unchanged } of batches) {
    sum.added += added;
    sum.changed += changed;
    sum.unchanged += unchanged;
  }
  const all = [...emitted.values()].reduce((total, rows) => total + rows, 0);
  const { deduplicated } = storeCounts(sum, all);
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
