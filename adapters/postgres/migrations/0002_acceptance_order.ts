import { type Kysely, sql } from 'kysely';

/**
 * The order in which runs were accepted, given by the transaction that accepts them: of two runs that write one row the later one
 * wins. The id of a run is older than that, since it names an upload from its first byte on.
 *
 * And how many records of a batch were rejected with which code, counted where they are stored, for a run may have millions.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.run ADD COLUMN accepted_order bigint;
    UPDATE waybill.run r SET accepted_order = o.n
      FROM (SELECT id, row_number() OVER (ORDER BY right(id, 36) COLLATE "C") AS n FROM waybill.run) o WHERE o.id = r.id;
    ALTER TABLE waybill.run ALTER COLUMN accepted_order SET NOT NULL,
      ALTER COLUMN accepted_order ADD GENERATED ALWAYS AS IDENTITY;
    SELECT setval(pg_get_serial_sequence('waybill.run', 'accepted_order'), coalesce(max(accepted_order), 0) + 1, false)
      FROM waybill.run;
    CREATE INDEX run_open_of_tenant ON waybill.run (tenant, accepted_order) WHERE ended_at IS NULL;
    GRANT SELECT (accepted_order) ON waybill.run TO waybill_worker;

    ALTER TABLE waybill.ledger ADD COLUMN rejected_by_code jsonb NOT NULL DEFAULT '{}';
    UPDATE waybill.ledger l SET rejected_by_code = d.codes FROM (
      SELECT tenant, run_id, seq, jsonb_object_agg(code, n) AS codes
      FROM (SELECT tenant, run_id, seq, code, count(*) AS n FROM waybill.dead_letter GROUP BY 1, 2, 3, 4) c
      GROUP BY 1, 2, 3) d
      WHERE d.tenant = l.tenant AND d.run_id = l.run_id AND d.seq = l.seq;
  `;
  await sql.raw(statements).execute(db);
}
