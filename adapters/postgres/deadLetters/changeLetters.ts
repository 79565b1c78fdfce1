import type { ClientBase } from 'pg';
import type { AuditEvent } from '../../../domain/audit.ts';
import type { Actor } from '../../../domain/deadLetters/deadLetter.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { LetterEdit, StoredLetter } from '../../../domain/ports/deadLetters.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import type { Tenants } from '../tenants.ts';
import { auditLetters } from './recordLetters.ts';

/** The letters that are still as their caller read them, each locked, in one order for all transactions. */
const unchanged = `chosen AS (
    SELECT * FROM unnest(:ids::text[], :revisions::integer[]) WITH ORDINALITY AS c (id, revision, position)
  ), locked AS MATERIALIZED (
    SELECT d.id, c.position FROM waybill.dead_letter d JOIN chosen c ON c.id = d.id AND c.revision = d.revision
    WHERE d.tenant = :tenant AND d.state IN ('open', 'repaired') ORDER BY d.id FOR UPDATE OF d
  )`;

/** One transaction: the edits, and the audit event that names the letters with their digests. */
export async function repairLetters(
  tenants: Tenants,
  tenant: string,
  edits: readonly LetterEdit[],
  by: Actor,
  audit: AuditEvent,
): Promise<string[]> {
  return tenants.for(tenant, by.id).transaction(async (client) => {
    const { rows } = await client.query<{ id: string }>(
      sql(
        `WITH ${unchanged}, edits AS (
           SELECT * FROM unnest(:ids::text[], :forms::text[], :texts::bytea[], :versions::integer[])
             AS e (id, form, text, version)
         )
         UPDATE waybill.dead_letter d SET state = 'repaired', edit = e.text, edit_form = e.form, edit_version = e.version,
           edited_by = :by, edited_at = now(), revision = d.revision + 1, changed_at = now()
         FROM locked l, edits e WHERE d.id = l.id AND e.id = l.id RETURNING d.id`,
        {
          tenant,
          by: jsonParam(by),
          ids: edits.map(({ id }) => id),
          revisions: edits.map(({ revision }) => revision),
          forms: edits.map(({ form }) => form),
          texts: edits.map(({ bytes }) => Buffer.from(bytes)),
          versions: edits.map(({ version }) => version),
        },
        'repair-letters',
      ),
    );
    const ids = new Set(rows.map(({ id }) => id));
    const kept = edits.filter(({ id }) => ids.has(id));
    const names = (pick: (edit: LetterEdit) => string) => kept.map(pick);
    const detail = {
      letters: names(({ id }) => id),
      before: names((e) => e.before),
      after: names((e) => e.after),
    };
    if (kept.length > 0) await insertAudit(client, { ...audit, detail: { ...audit.detail, ...detail } });
    return detail.letters;
  });
}

export async function discardLetters(
  tenants: Tenants,
  tenant: string,
  letters: readonly Pick<StoredLetter, 'id' | 'revision'>[],
  by: Actor,
  reason: string,
  audit: AuditEvent,
): Promise<string[]> {
  return tenants.for(tenant, by.id).transaction(async (client) => {
    const { rows } = await client.query<{ id: string }>(
      sql(
        `WITH ${unchanged}
         UPDATE waybill.dead_letter d SET state = 'discarded', discarded_by = :by, reason = :reason,
           revision = d.revision + 1, changed_at = now()
         FROM locked l WHERE d.id = l.id RETURNING d.id`,
        { tenant, by: jsonParam(by), reason, ...chosen(letters) },
        'discard-letters',
      ),
    );
    const ids = rows.map(({ id }) => id);
    await auditLetters(client, audit, ids, { reason });
    return ids;
  });
}

/**
 * Discards the letters of the batches that a retry reads again, in the transaction that accepts it: what was rejected of them is rejected
 * again, so that their records would have two letters, and each could be stored.
 */
export async function discardRetried(
  client: ClientBase,
  { tenant, runId, audit }: { tenant: string; runId: string; audit: AuditEvent },
  retried: { runId: string; seqs: readonly number[] | null },
): Promise<void> {
  const reason = `Run ${runId} reads its record again.`;
  const { rows } = await client.query<{ id: string }>(
    sql(
      `UPDATE waybill.dead_letter SET state = 'discarded', discarded_by = :by, reason = :reason, revision = revision + 1,
         changed_at = now()
       WHERE id IN (SELECT id FROM waybill.dead_letter WHERE tenant = :tenant AND run_id = :of AND state IN ('open', 'repaired')
         AND (:seqs::integer[] IS NULL OR seq = ANY(:seqs)) ORDER BY id FOR UPDATE) RETURNING id`,
      { tenant, of: retried.runId, by: jsonParam(audit.actor), reason, seqs: retried.seqs },
    ),
  );
  await auditLetters(
    client,
    { ...audit, action: 'dead-letter.discarded' },
    rows.map(({ id }) => id),
    { reason },
  );
}

/**
 * Gives letters to a run, in the transaction that accepts it. Throws `DeadLettersChanged` where one of them is not as it was read: it was
 * edited, discarded, or another redrive has it.
 */
export async function claimLetters(
  client: ClientBase,
  { tenant, runId }: { tenant: string; runId: string },
  letters: readonly Pick<StoredLetter, 'id' | 'revision'>[],
  audit: AuditEvent,
): Promise<void> {
  const { rowCount } = await client.query(
    sql(
      `WITH ${unchanged}
       UPDATE waybill.dead_letter d SET state = 'redriving', state_before = d.state, redrive_run = :runId,
         redrive_runs = (ARRAY[:runId]::text[] || coalesce(d.redrive_runs, ARRAY[d.redrive_run]))[1:50],
         redrive_position = l.position - 1, revision = d.revision + 1, changed_at = now()
       FROM locked l WHERE d.id = l.id`,
      { tenant, runId, ...chosen(letters) },
      'claim-letters',
    ),
  );
  if (rowCount !== letters.length)
    throw new WaybillError('DeadLettersChanged', { detail: `${rowCount} of ${letters.length}` });
  await auditLetters(
    client,
    { ...audit, action: 'dead-letter.redriven' },
    letters.map(({ id }) => id),
    {},
  );
}

function chosen(letters: readonly Pick<StoredLetter, 'id' | 'revision'>[]) {
  return { ids: letters.map(({ id }) => id), revisions: letters.map(({ revision }) => revision) };
}
