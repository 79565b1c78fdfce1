import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { NewLetter } from '../../../domain/ports/deadLetters.ts';
import type { BatchToStore, RejectedOfRun } from '../../../domain/ports/ledger.ts';
import { sql } from '../../../domain/sql.ts';

/** So many bytes of rejected records a run keeps in the database; of the others it keeps where they are. */
const rawBytesMax = 64 * 1024 * 1024;

type OfBatch = Pick<
  BatchToStore,
  'tenant' | 'runId' | 'pipeline' | 'version' | 'principal' | 'seq' | 'deadLetters'
>;

/**
 * What becomes of the rejected records of a batch, in the transaction that stores it: new dead letters, or, where the batch is of dead
 * letters, those letters. Returns how many bytes of records were kept; `keptBytes` are those of the batches before.
 */
export async function recordLetters(
  client: ClientBase,
  batch: OfBatch & Pick<BatchToStore, 'settlesLetters' | 'first' | 'counts'>,
  keptBytes: number,
  audit: AuditEvent,
): Promise<number> {
  if (batch.settlesLetters) {
    const { seq, first = 0, counts, deadLetters } = batch;
    const settled = { first, records: counts.read, rejected: deadLetters };
    await settleLetters(client, batch, settled, { ...audit, detail: { ...audit.detail, seq } });
    return 0;
  }
  return insertLetters(client, batch, keptBytes, audit);
}

/**
 * Writes the dead letters of a batch by one statement. A record is rejected once, so run and position name it; what is there already,
 * because approvers were shown it, stays.
 */
async function insertLetters(
  client: ClientBase,
  batch: OfBatch,
  keptBytes: number,
  audit: AuditEvent,
): Promise<number> {
  const { tenant, runId, pipeline, version, principal, seq, deadLetters } = batch;
  if (deadLetters.length === 0) return 0;
  const { raws, sizeBytes } = rawsOf(deadLetters, rawBytesMax - keptBytes);
  const of = <T>(pick: (d: NewLetter) => T) => deadLetters.map(pick);
  const { rows } = await client.query<{ id: string }>(
    sql(
      `INSERT INTO waybill.dead_letter (tenant, run_id, pipeline, version, principal, seq, id, position, line, row_group,
                                        byte_offset, byte_length, stage, code, path, message, raw, object, source)
       SELECT :tenant, :runId, :pipeline, :version, :principal, :seq, *
       FROM unnest(:ids::text[], :positions::bigint[], :lines::bigint[], :rowGroups::integer[], :offsets::bigint[], :lengths::bigint[],
                   :stages::text[], :codes::text[], :paths::text[], :messages::text[], :raws::bytea[],
                   :objects::jsonb[], :sources::text[])
       ON CONFLICT (id) DO NOTHING RETURNING id`,
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
  const event = { ...audit, action: 'dead-letter.recorded' };
  await auditLetters(
    client,
    event,
    rows.map(({ id }) => id),
    { seq },
  );
  return sizeBytes;
}

/** Before the run stores anything. Its row is held, so that its end waits or is seen. Throws `RunEnded`. */
export async function recordRejections(
  client: ClientBase,
  { batches, audit, ...run }: RejectedOfRun,
): Promise<void> {
  const held = await client.query(
    sql(
      'SELECT FROM waybill.run WHERE id = :runId AND ended_at IS NULL FOR SHARE',
      { runId: run.runId },
      'hold-open-run',
    ),
  );
  if (!held.rowCount) throw new WaybillError('RunEnded', { detail: run.runId });
  let keptBytes = 0;
  for await (const batch of batches())
    keptBytes += await insertLetters(client, { ...run, ...batch }, keptBytes, audit);
}

/** Letters of a redrive by their place among its records. */
export interface SettledLetters {
  first: number;
  records: number;
  /** Those that are rejected again. */
  rejected: readonly Pick<NewLetter, 'position' | 'stage' | 'code' | 'path' | 'message'>[];
}

/**
 * Each letter leaves `redriving`: its record is stored or filtered, or rejected again. They are as many as there are records, or one of
 * them is not this run’s to store, and nothing commits. One statement of a transaction, and its last to lock counts of letters, which
 * other redrives and edits of the same run change too: all lock them in one order. Throws `StepResultInvalid`.
 */
export async function settleLetters(
  client: ClientBase,
  { tenant, runId }: Pick<OfBatch, 'tenant' | 'runId'>,
  { first, records, rejected }: SettledLetters,
  audit: AuditEvent,
): Promise<void> {
  const of = <T>(pick: (d: SettledLetters['rejected'][number]) => T) => rejected.map(pick);
  const { rows } = await client.query<{ id: string; state: string }>(
    sql(
      `WITH rejected AS (
         SELECT * FROM unnest(:positions::bigint[], :stages::text[], :codes::text[], :paths::text[], :messages::text[])
           AS r (position, stage, code, path, message)
       )
       UPDATE waybill.dead_letter d SET
         state = CASE WHEN r.position IS NULL THEN 'resolved' ELSE 'open' END,
         attempt = d.attempt + 1, revision = d.revision + 1, changed_at = now(),
         stage = coalesce(r.stage, d.stage), code = coalesce(r.code, d.code), path = coalesce(r.path, d.path),
         message = coalesce(r.message, d.message)
       FROM waybill.dead_letter l LEFT JOIN rejected r ON r.position = l.redrive_position
       WHERE l.id = d.id AND l.tenant = :tenant AND l.redrive_run = :runId AND l.state = 'redriving'
         AND l.redrive_position >= :first AND l.redrive_position < :first + :records::bigint
       RETURNING d.id, d.state`,
      {
        ...{ tenant, runId, first, records },
        positions: of((d) => d.position),
        stages: of((d) => d.stage),
        codes: of((d) => d.code),
        paths: of((d) => storable(d.path)),
        messages: of((d) => storable(d.message)),
      },
      'settle-dead-letters',
    ),
  );
  if (rows.length !== records)
    throw new WaybillError('StepResultInvalid', {
      detail: `${rows.length} of ${records} letters from ${first} on are under way in ${runId}`,
    });
  for (const state of ['resolved', 'open']) {
    const ids = rows.filter((row) => row.state === state).map(({ id }) => id);
    await auditLetters(client, { ...audit, action: 'dead-letter.settled' }, ids, {
      seq: audit.detail.seq,
      state,
    });
  }
}

/** Letters in one event; more become several. */
const lettersMax = 1_000;

/** Names each letter, so that the log tells what became of it. */
export async function auditLetters(
  client: ClientBase,
  { tenant, runId, txn, action, outcome, actor, detail }: AuditEvent,
  ids: readonly string[],
  more: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (ids.length === 0) return;
  const details: string[] = [];
  const { grant, policies, policyDigest } = detail;
  for (let at = 0; at < ids.length; at += lettersMax)
    details.push(
      JSON.stringify({ grant, policies, policyDigest, ...more, letters: ids.slice(at, at + lettersMax) }),
    );
  await client.query(
    sql(
      `INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, actor, detail)
       SELECT :tenant, :runId, :txn, :action, :outcome, :actor::jsonb, detail FROM unnest(:details::jsonb[]) detail`,
      { tenant, runId, txn, action, outcome, actor: actor && JSON.stringify(actor), details },
      'audit-dead-letters',
    ),
  );
}

/** The bytes of the first records that fit; `null` for the others. */
function rawsOf(deadLetters: readonly NewLetter[], leftBytes: number) {
  let sizeBytes = 0;
  const raws = deadLetters.map(({ raw }) => {
    if (!raw || sizeBytes + raw.byteLength > leftBytes) return null;
    sizeBytes += raw.byteLength;
    return Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  });
  return { raws, sizeBytes };
}

/** How many of them have which code, for the ledger. */
export function countCodes(deadLetters: readonly NewLetter[]): Record<string, number> {
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
