import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import type { DeadLetters } from '../../../domain/ports/deadLetters.ts';
import type { BatchToStore } from '../../../domain/ports/ledger.ts';
import type { Tenants } from '../tenants.ts';

export function createDeadLetters(tenants: Tenants): DeadLetters {
  return { countByCode: (tenant, runId) => countRejections(tenants, tenant, runId) };
}

/** Writes the dead letters of a batch by one statement. A record is refused once, so run and position name it. */
export async function insertDeadLetters(
  client: ClientBase,
  load: Pick<BatchToStore, 'tenant' | 'runId' | 'pipeline' | 'version' | 'principal' | 'seq' | 'deadLetters'>,
): Promise<void> {
  const { tenant, runId, pipeline, version, principal, seq, deadLetters } = load;
  if (deadLetters.length === 0) return;
  const of = <T>(pick: (d: (typeof deadLetters)[number]) => T) => deadLetters.map(pick);
  await client.query({
    name: 'insert-dead-letters',
    text: `INSERT INTO waybill.dead_letter (tenant, run_id, pipeline, version, principal, seq, id, position, line,
                                            byte_offset, byte_length, stage, code, path, message, raw, object)
           SELECT $1, $2, $3, $4, $5, $6, *
             FROM unnest($7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::text[],
                         $13::text[], $14::text[], $15::text[], $16::bytea[], $17::jsonb[])`,
    values: [
      ...[tenant, runId, pipeline, version, principal, seq],
      of((d) => deadLetterId(runId, d.position)),
      of((d) => d.position),
      of((d) => d.line),
      of((d) => d.byteOffset),
      of((d) => d.byteLength),
      of((d) => d.stage),
      of((d) => d.code),
      of((d) => storable(d.path)),
      of((d) => storable(d.message)),
      of((d) => (d.raw ? Buffer.from(d.raw.buffer, d.raw.byteOffset, d.raw.byteLength) : null)),
      of((d) => (d.raw || !d.object ? null : JSON.stringify(d.object))),
    ],
  });
}

/** Deterministic, so that two looks at one record speak of the same dead letter. */
function deadLetterId(runId: string, position: number): string {
  return `dl_${createHash('sha256').update(`${runId}\0${position}`).digest('base64url').slice(0, 22)}`;
}

/** A pipeline’s own message may hold anything; PostgreSQL takes no NUL. */
function storable(text: string): string {
  return text.replaceAll('\0', '\u{FFFD}').toWellFormed();
}

/** More are not looked at: what is wrong with most of them shows in these. */
const deadLettersMax = 10_000;

/** How many records of a run were refused with which code, of the first so many. */
async function countRejections(
  tenants: Tenants,
  tenant: string,
  runId: string,
): Promise<Record<string, number>> {
  const { rows } = await tenants.for(tenant).query<{ code: string; records: number }>({
    name: 'count-rejections',
    text: `
      SELECT code, count(*)::integer AS records
      FROM (SELECT code FROM waybill.dead_letter WHERE tenant = $1 AND run_id = $2 ORDER BY position LIMIT $3) d
      GROUP BY code ORDER BY 2 DESC, 1`,
    values: [tenant, runId, deadLettersMax],
  });
  return Object.fromEntries(rows.map(({ code, records }) => [code, records]));
}
