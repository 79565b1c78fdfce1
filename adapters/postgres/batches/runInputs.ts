import type { ClientBase } from 'pg';
import { WaybillError } from '../../../domain/errors.ts';
import type { RunInput, RunInputs, TakenInput } from '../../../domain/ports/runInputs.ts';
import type { RunRef } from '../../../domain/runs/run.ts';
import { jsonParam, type Params, sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { runColumns, runFromRow } from '../runs/runs.ts';
import type { Tenants } from '../tenants.ts';
import { batchFromRow, insertBatch, selectBatch } from './batchRows.ts';

/*
 * An input is `open` from the acceptance of its run on, and then `complete`, or `ended` with its run or its deadline. While it is open,
 * each request writes as its `holder`, in statements that ask for that, so that a request that has lost its place cannot continue.
 */

export function createRunInputs(tenants: Tenants): RunInputs {
  const within = <T>({ tenant, principal }: RunRef, work: (client: ClientBase) => Promise<T>): Promise<T> =>
    tenants.for(tenant, principal).transaction(work);
  return {
    async countOpen(tenant, principal) {
      const { rows } = await tenants.for(tenant).query<{ open: number }>(
        sql(
          `SELECT count(*)::integer AS open FROM waybill.upload u JOIN waybill.run r ON r.id = u.run_id
           WHERE u.tenant = :tenant AND u.principal = :principal AND r.arrival = 'open' AND r.ended_at IS NULL`,
          { tenant, principal },
          'count-open-inputs',
        ),
      );
      return rows[0]!.open;
    },

    async find({ tenant, runId }) {
      const { rows } = await tenants
        .for(tenant)
        .query(sql(`SELECT ${inputColumns} FROM ${inputs}`, { runId }, 'find-input'));
      return rows[0] && inputFromRow(rows[0]);
    },

    take: (run, holder, { offsetBytes, compression, lengthBytes }) =>
      within(run, async (client) => {
        const params = { runId: run.runId, holder, offset: offsetBytes };
        const { rows } = await client.query(
          sql(
            `UPDATE waybill.upload u SET holder = :holder, length_bytes = coalesce(:length, u.length_bytes),
               compression = CASE WHEN u.received_bytes = 0 THEN :compression ELSE u.compression END
             FROM waybill.run r
             WHERE u.run_id = :runId AND r.id = u.run_id AND r.arrival = 'open' AND r.ended_at IS NULL
               AND u.expires_at > now() AND u.received_bytes = :offset
               AND (u.received_bytes = 0 OR :compression::text IS NULL OR u.compression = :compression)
               AND (u.length_bytes IS NULL OR :length::bigint IS NULL OR u.length_bytes = :length)
             RETURNING ${inputColumns}, u.tail, u.parts`,
            { ...params, compression: compression ?? null, length: lengthBytes ?? null },
            'take-input',
          ),
        );
        if (!rows[0]) return undefined;
        const last = await client.query(
          sql(`${selectBatch} ORDER BY seq DESC LIMIT 1`, { runId: run.runId }, 'last-batch-of-input'),
        );
        const { tail, parts } = rows[0];
        const batch = last.rows[0] && batchFromRow(last.rows[0]);
        return { ...inputFromRow(rows[0]), tail: tail ?? undefined, parts, last: batch } satisfies TakenInput;
      }),

    async isHeldBy({ tenant, runId }, holder) {
      const { rowCount } = await tenants
        .for(tenant)
        .query(
          sql(
            'SELECT FROM waybill.upload WHERE run_id = :runId AND holder = :holder',
            { runId, holder },
            'input-is-held',
          ),
        );
      return rowCount === 1;
    },

    advance: (run, holder, { receivedBytes, batch, tail, parts }) =>
      within(run, async (client) => {
        await write(client, run, holder, 'tail = :tail, parts = :parts, received_bytes = :receivedBytes', {
          receivedBytes,
          tail: tail ? Buffer.from(tail) : null,
          parts: jsonParam(parts ?? []),
        });
        if (!batch) return;
        await insertBatch(client, run.runId, batch);
        await start(client, run);
      }),

    seal: (run, holder, audit) =>
      within(run, async (client) => {
        const held = await write(client, run, holder, `tail = NULL, parts = '[]', holder = NULL`);
        await start(client, run);
        const { rows } = await client.query(
          sql(
            `WITH r AS (
               UPDATE waybill.run SET arrival = 'sealed', touched_at = now() WHERE id = :runId RETURNING *, NULL::jsonb AS live
             ) SELECT ${runColumns}, pg_notify('waybill_run', r.id) FROM r`,
            { runId: run.runId },
            'seal-input',
          ),
        );
        await insertAudit(client, audit);
        return { run: runFromRow(rows[0]), unnamed: await unnamedOf(client, run, held) };
      }),

    breakOff: (run, holder, audit) =>
      within(run, async (client) => {
        await write(client, run, holder, 'holder = NULL');
        await client.query(
          sql(
            `WITH r AS (UPDATE waybill.run SET arrival = 'broken' WHERE id = :runId RETURNING id)
             SELECT pg_notify('waybill_run', id) FROM r`,
            { runId: run.runId },
            'break-input',
          ),
        );
        await start(client, run);
        await insertAudit(client, audit);
      }),
  };
}

const inputs = `waybill.upload u JOIN waybill.run r ON r.id = u.run_id WHERE u.run_id = :runId`;

const inputColumns = `u.received_bytes, u.length_bytes, u.compression, u.expires_at, r.manifest,
  CASE WHEN r.arrival = 'sealed' THEN 'complete'
       WHEN r.arrival = 'broken' OR r.ended_at IS NOT NULL OR u.expires_at <= now() THEN 'ended' ELSE 'open' END AS state`;

// biome-ignore lint/suspicious/noExplicitAny: a row of pg has no type of its own.
function inputFromRow(row: any): RunInput {
  return {
    state: row.state,
    receivedBytes: Number(row.received_bytes),
    lengthBytes: row.length_bytes === null ? undefined : Number(row.length_bytes),
    compression: row.compression ?? undefined,
    expiresAt: row.expires_at.toISOString(),
    manifest: row.manifest,
  };
}

/** Changes what only the holder may, and resolves with the parts as they were. */
async function write(
  client: ClientBase,
  { runId }: RunRef,
  holder: string,
  changes: string,
  params: Params = {},
): Promise<{ digest: string }[]> {
  const { rows } = await client.query(
    sql(
      `WITH held AS (
         SELECT u.run_id, u.parts, r.arrival = 'open' AND r.ended_at IS NULL AS open
         FROM waybill.upload u JOIN waybill.run r ON r.id = u.run_id
         WHERE u.run_id = :runId AND u.holder = :holder FOR UPDATE OF r
       ), changed AS (
         UPDATE waybill.upload SET ${changes}
         WHERE run_id IN (SELECT run_id FROM held WHERE open) AND holder = :holder RETURNING 1
       ) SELECT parts, open, EXISTS (SELECT FROM changed) AS changed FROM held`,
      { runId, holder, ...params },
    ),
  );
  if (!rows[0]) throw new WaybillError('UploadSuperseded', { detail: runId });
  if (!rows[0].open) throw new WaybillError('RunEnded', { detail: runId });
  if (!rows[0].changed) throw new WaybillError('UploadSuperseded', { detail: runId });
  return rows[0].parts;
}

async function start(client: ClientBase, { runId }: RunRef): Promise<void> {
  await client.query(
    sql(
      `WITH started AS (
         UPDATE waybill.upload SET started = true WHERE run_id = :runId AND NOT started RETURNING run_id
       ), due AS (
         INSERT INTO waybill.outbox (kind, run_id) SELECT 'start', run_id FROM started
       ) SELECT pg_notify('waybill_outbox', '') FROM started`,
      { runId },
      'start-input',
    ),
  );
}

/** An object is named by its content, so that a part and a batch may be the same one. */
async function unnamedOf(
  client: ClientBase,
  { runId }: RunRef,
  parts: readonly { digest: string }[],
): Promise<string[]> {
  if (parts.length === 0) return [];
  const { rows } = await client.query<{ digest: string }>(
    sql(
      `SELECT DISTINCT p AS digest FROM unnest(:digests::text[]) p
       WHERE NOT EXISTS (SELECT FROM waybill.batch b WHERE b.run_id = :runId AND b.digest = p)`,
      { runId, digests: parts.map(({ digest }) => digest) },
    ),
  );
  return rows.map(({ digest }) => digest);
}
