import type { ClientBase } from 'pg';
import { connectors } from '../../../connectors/index.ts';
import type { RowOutcome } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { Ledger, Preview, Publication, StagedRun } from '../../../domain/ports/ledger.ts';
import type { Credential } from '../../../domain/revocation.ts';
import { addCounts, type Counts, zeroCounts } from '../../../domain/runs/run.ts';
import { auditValues, auditWhere } from '../audit.ts';
import { voided, voidedValues } from '../rights/revokedSql.ts';
import { insertDeadLetters } from './deadLetters.ts';
import { beginTurn, holdOpen, lockOf, nextVersion } from './sinkTurn.ts';
import { moveWatermark } from './watermarks.ts';

/** A million rows take a minute or two, of which most goes by between the statements, while the next batch is read. */
const patience = `
  SELECT set_config('statement_timeout', '10min', true), set_config('idle_in_transaction_session_timeout', '3min', true)`;

export async function preview(client: ClientBase, staged: StagedRun): Promise<Preview> {
  await client.query(patience);
  let emitted = 0;
  const writer = connectors.sink(staged.sink.kind).writer.staged!;
  await writer.stage(client, staged, ({ rows }) => {
    emitted += rows.count + rows.deduplicated;
  });
  const { outcomes, baseVersion } = await writer.preview(client, staged);
  return { baseVersion, changes: changesOf(outcomes, emitted) };
}

/**
 * In this order: publications of one run take turns, so that a zombie and its retry meet before either writes; the rows are staged,
 * which takes long and stands in nobody’s way; the table is locked for the tenant; it is asked whether what would happen now is what
 * was permitted; all is written; and last what was revoked is asked, so that what was withdrawn meanwhile counts too.
 */
export async function publish(
  client: ClientBase,
  publication: Publication,
): Promise<Awaited<ReturnType<Ledger['publishRun']>>> {
  const { tenant, runId, sink } = publication;
  const writer = connectors.sink(sink.kind).writer.staged!;
  await client.query(patience);
  await client.query('SELECT pg_advisory_xact_lock($1)', [lockOf(tenant, `run ${runId}`)]);
  const recorded = await findRecorded(client, publication);
  if (recorded) return { outcome: 'published', counts: recorded };

  const counts = new Map<number, Counts>();
  await writer.stage(client, publication, async (batch) => {
    counts.set(batch.seq, batch.counts);
    await insertDeadLetters(client, { ...publication, ...batch });
  });
  await beginTurn(client, { tenant, sink });
  await holdOpen(client, publication);
  await holdApproval(client, publication);
  const { outcomes, baseVersion } = await writer.preview(client, publication);
  const emitted = sumOf([...counts.values()]).emitted;
  if (!publication.permits({ baseVersion, changes: changesOf(outcomes, emitted) })) return stale(client);
  const { stored, wrote } = await writer.publish(client, publication);
  // Somebody else than Waybill wrote in between, whom no lock of ours holds.
  if (stored !== outcomes.reduce((sum, { added, changed }) => sum + added + changed, 0)) return stale(client);
  for (const credential of publication.approvers) if (await isVoid(client, credential)) return stale(client);
  const landed = ledgerOf(counts, outcomes);
  const total = sumOf([...landed.values()]);
  await record(client, publication, landed, total, wrote);
  if (publication.movesWatermark) await moveWatermark(client, publication, publication.audit(total));
  return { outcome: 'published', counts: total };
}

async function findRecorded(client: ClientBase, { tenant, runId }: Publication): Promise<Counts | undefined> {
  const { rows } = await client.query<{ counts: Counts }>(
    'SELECT counts FROM waybill.ledger WHERE tenant = $1 AND run_id = $2',
    [tenant, runId],
  );
  return rows.length > 0 ? sumOf(rows.map(({ counts }) => counts)) : undefined;
}

/** Nobody else can end it until we commit. Throws `ApprovalRequired`. */
async function holdApproval(client: ClientBase, { runId, approval }: Publication): Promise<void> {
  const { rowCount } = await client.query(
    `SELECT FROM waybill.approval WHERE id = $1 AND run_id = $2 AND state IN ('approved', 'waived') FOR SHARE`,
    [approval, runId],
  );
  if (!rowCount)
    throw new WaybillError('ApprovalRequired', { detail: `${approval} of ${runId} does not stand` });
}

async function isVoid(client: ClientBase, credential: Credential): Promise<boolean> {
  const { rows } = await client.query<{ void: boolean }>(
    `SELECT ${voided(1)} AS void`,
    voidedValues(credential),
  );
  return rows[0]!.void;
}

/** What was written so far must not stay. The commit that follows finds nothing to do. */
async function stale(client: ClientBase): Promise<{ outcome: 'stale' }> {
  await client.query('ROLLBACK');
  return { outcome: 'stale' };
}

/** Ledger entries, version of the table and audit event, unless the grant is revoked. Throws `GrantRevoked`. */
async function record(
  client: ClientBase,
  publication: Publication,
  landed: ReadonlyMap<number, Counts>,
  total: Counts,
  wrote: boolean,
): Promise<void> {
  const { tenant, runId, sink, credential } = publication;
  const { rowCount } = await client.query(
    `WITH entry AS (
       INSERT INTO waybill.ledger (tenant, run_id, seq, counts)
       SELECT $1, $2, seq, counts FROM unnest($3::integer[], $4::jsonb[]) AS e (seq, counts)
       WHERE NOT ${voided(5)} RETURNING run_id
     ), once AS (
       SELECT run_id FROM entry LIMIT 1
     ), versioned AS (${nextVersion('once', 18)}), audited AS (${auditWhere('once', 11)})
     SELECT pg_notify('waybill_run', run_id) FROM once`,
    [
      ...[tenant, runId, [...landed.keys()], [...landed.values()].map((counts) => JSON.stringify(counts))],
      ...voidedValues(credential),
      ...auditValues(publication.audit(total)),
      ...[sink.table, wrote],
    ],
  );
  if (!rowCount) throw new WaybillError('GrantRevoked', { detail: `while ${runId} was published` });
}

function ledgerOf(counts: ReadonlyMap<number, Counts>, outcomes: readonly RowOutcome[]): Map<number, Counts> {
  const bySeq = new Map(outcomes.map((outcome) => [outcome.seq, outcome]));
  const none = { added: 0, changed: 0, unchanged: 0 };
  return new Map(
    [...counts].map(([seq, before]) => [
      seq,
      { ...before, ...storeCounts(bySeq.get(seq) ?? none, before.emitted) },
    ]),
  );
}

function changesOf(outcomes: readonly RowOutcome[], emitted: number): Preview['changes'] {
  const sum = { added: 0, changed: 0, unchanged: 0 };
  for (const { added, changed, unchanged } of outcomes) {
    sum.added += added;
    sum.changed += changed;
    sum.unchanged += unchanged;
  }
  return { ...sum, deduplicated: storeCounts(sum, emitted).deduplicated };
}

/** Whatever was emitted and is neither stored nor there already was replaced by a later row, of this run or another. */
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
