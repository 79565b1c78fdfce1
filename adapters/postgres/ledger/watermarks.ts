import type { AuditEvent } from '../../../domain/audit.ts';
import type { Watermarks } from '../../../domain/ports/watermarks.ts';
import type { RunRef } from '../../../domain/runs/run.ts';
import type { RunFacts } from '../../../domain/runs/runFacts.ts';
import {
  type BytesMark,
  type FieldMark,
  isLater,
  laterOf,
  type Mark,
  type ObjectsMark,
  type Window,
} from '../../../domain/sources/watermark.ts';
import { sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import { batchFromRow } from '../batches/batchRows.ts';
import type { Queries, Tenants } from '../tenants.ts';

export function createWatermarks(tenants: Tenants): Watermarks {
  return {
    find: (run, key) => findWatermark(tenants, run, key),
    findWindow: (run) => findWindow(tenants, run),
    openWindow: (run, key, window) => openWindow(tenants, run, key, window),
  };
}

async function findWatermark(
  tenants: Tenants,
  { tenant, pipeline }: RunFacts,
  key: string,
): Promise<Mark | undefined> {
  const { rows } = await tenants
    .for(tenant)
    .query<{ mark: Mark }>(
      sql(
        'SELECT mark FROM waybill.watermark WHERE tenant = :tenant AND pipeline = :pipeline AND key = :key',
        { tenant, pipeline, key },
        'find-watermark',
      ),
    );
  return rows[0]?.mark;
}

async function findWindow(tenants: Tenants, { tenant, runId }: RunRef): Promise<Window | undefined> {
  const { rows } = await tenants
    .for(tenant)
    .query<{ extent: Window }>(
      sql(
        'SELECT extent FROM waybill.source_window WHERE tenant = :tenant AND run_id = :runId',
        { tenant, runId },
        'find-window',
      ),
    );
  return rows[0]?.extent;
}

/** Of several attempts that come at once, the first decides. */
async function openWindow(tenants: Tenants, run: RunRef, key: string, window: Window): Promise<Window> {
  const { tenant, runId, principal } = run;
  await tenants.for(tenant, principal).query(
    sql(
      `INSERT INTO waybill.source_window (tenant, run_id, key, extent)
           VALUES (:tenant, :runId, :key, :extent) ON CONFLICT DO NOTHING`,
      { tenant, runId, key, extent: JSON.stringify(window) },
      'open-window',
    ),
  );
  return (await findWindow(tenants, run))!;
}

/**
 * Moves the mark of the source that a run has read to the end of what it read, if all of that is in the ledger by now; to be
 * called in the transaction that makes rows of the run visible, after its ledger entries. It only moves forward: of two
 * runs at once the one that read further counts, whichever commits first. `base` has the actor.
 */
export async function moveWatermark(
  client: Queries,
  { tenant, runId }: { tenant: string; runId: string },
  base: AuditEvent,
): Promise<void> {
  const read = await findRead(client, tenant, runId);
  if (!read?.complete) return;
  // Whether all objects were read is known only at the end of the run: see `settleWatermark`.
  if (read.extent.kind === 'objects') return;
  const reached = await markOf(client, read.extent, runId);
  if (reached) await advance(client, { tenant, runId }, read, reached, base);
}

/**
 * The same for a source that holds many objects, in the transaction that records the run as completed: then each of them was read, and
 * everything of it is in the ledger.
 */
export async function settleWatermark(
  client: Queries,
  run: { tenant: string; runId: string },
  base: AuditEvent,
): Promise<void> {
  const read = await findRead(client, run.tenant, run.runId);
  if (read?.extent.kind !== 'objects' || !read.complete || !read.extent.through) return;
  await advance(client, run, read, read.extent.through, base);
}

async function advance(
  client: Queries,
  { tenant, runId }: { tenant: string; runId: string },
  read: Read,
  reached: Mark,
  base: AuditEvent,
): Promise<void> {
  const standing = await lockWatermark(client, tenant, read);
  if (standing && !isBeyond(read.extent, reached, standing)) return;
  await client.query(
    sql(
      `INSERT INTO waybill.watermark (tenant, pipeline, key, source, mark, run_id)
           VALUES (:tenant, :pipeline, :key, :source, :mark, :runId)
           ON CONFLICT (tenant, pipeline, key) DO UPDATE SET mark = :mark, run_id = :runId, moved_at = now()`,
      {
        tenant,
        pipeline: read.pipeline,
        key: read.key,
        source: read.source,
        mark: JSON.stringify(reached),
        runId,
      },
      'move-watermark',
    ),
  );
  const { grant } = base.detail;
  await insertAudit(client, {
    ...base,
    action: 'watermark.moved',
    outcome: 'success',
    detail: { grant, key: read.key, from: standing ? shown(standing) : null, to: shown(reached) },
  });
}

/** Thousands of objects may have come in one second; how far the mark has moved is plain without their names. */
function shown(mark: Mark): Mark {
  return mark.kind === 'objects' ? { kind: mark.kind, value: mark.value } : mark;
}

interface Read {
  key: string;
  extent: Window;
  pipeline: string;
  source: unknown;
  complete: boolean;
}

async function findRead(client: Queries, tenant: string, runId: string): Promise<Read | undefined> {
  const { rows } = await client.query<Read>(
    sql(
      `SELECT w.key, w.extent, r.pipeline, r.source,
                  (SELECT count(*) FROM waybill.batch WHERE run_id = :runId)
                    = (SELECT count(*) FROM waybill.ledger WHERE tenant = :tenant AND run_id = :runId) AS complete
           FROM waybill.source_window w JOIN waybill.run r ON r.tenant = w.tenant AND r.id = w.run_id
           WHERE w.tenant = :tenant AND w.run_id = :runId`,
      { tenant, runId },
      'watermark-read',
    ),
  );
  return rows[0];
}

/** Runs of one pipeline store in turns anyway (they share a table); this holds where two versions of it do not. */
async function lockWatermark(client: Queries, tenant: string, read: Read): Promise<Mark | undefined> {
  const { pipeline, key } = read;
  const name = ['waybill.watermark', tenant, pipeline, key].join(' ');
  await client.query(sql('SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))', { name }));
  const { rows } = await client.query<{ mark: Mark }>(
    sql('SELECT mark FROM waybill.watermark WHERE tenant = :tenant AND pipeline = :pipeline AND key = :key', {
      tenant,
      pipeline,
      key,
    }),
  );
  return rows[0]?.mark;
}

async function markOf(
  client: Queries,
  window: Exclude<Window, { kind: 'objects' }>,
  runId: string,
): Promise<Mark | undefined> {
  if (window.kind === 'field') {
    const { rows } = await client.query<{ highest: string }>(
      sql(`SELECT highest FROM waybill.stage WHERE run_id = :runId AND highest IS NOT NULL`, { runId }),
    );
    const highest = rows.reduce<string | null>(
      (max, row) => laterOf(window.order, max, row.highest),
      window.since,
    );
    return highest === null ? undefined : { kind: 'field', value: highest };
  }
  const { rows } = await client.query(
    sql(
      `SELECT seq, digest, size_bytes AS "sizeBytes", first_byte AS "firstByte", first_record AS "firstRecord",
            first_line AS "firstLine", records, header
     FROM waybill.batch WHERE run_id = :runId ORDER BY seq DESC LIMIT 1`,
      { runId },
    ),
  );
  if (!rows[0]) return undefined;
  const { firstByte, sizeBytes, digest, firstLine, header } = batchFromRow(rows[0]);
  const tail = { firstByte, sizeBytes, digest, firstLine };
  return { kind: 'bytes', ...(header && { header }), head: window.head, tail };
}

/** The key says of which kind both are. */
function isBeyond(window: Window, reached: Mark, standing: Mark): boolean {
  if (reached.kind === 'objects' && standing.kind === 'objects') return isBeyondObjects(reached, standing);
  return window.kind === 'field'
    ? isLater(window.order, (reached as FieldMark).value, (standing as FieldMark).value)
    : endOf(reached as BytesMark) > endOf(standing as BytesMark);
}

/** More objects of the same instant are further too. */
function isBeyondObjects(reached: ObjectsMark, standing: ObjectsMark): boolean {
  if (reached.value !== standing.value) return reached.value > standing.value;
  return (reached.seen?.length ?? 0) > (standing.seen?.length ?? 0);
}

function endOf({ tail }: BytesMark): number {
  return tail.firstByte + tail.sizeBytes;
}
