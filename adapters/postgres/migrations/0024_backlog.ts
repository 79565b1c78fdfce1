import { type Kysely, sql } from 'kysely';

/**
 * What waits, of all tenants together, for the metrics of the workers. Only counts and ages leave the function, so the role of the
 * relay needs no right to read approvals.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(backlog).execute(db);
}

const backlog = /* sql */ `
  CREATE INDEX approval_waiting ON waybill.approval (created_at) WHERE state = 'pending';

  CREATE FUNCTION waybill.backlog() RETURNS TABLE (name text, label text, value double precision)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT 'runs_open', state, count(*)::float8 FROM waybill.run WHERE ended_at IS NULL GROUP BY state
    UNION ALL
    SELECT 'runs_suspended', coalesce(reason->>'code', 'unknown'), count(*)::float8
      FROM waybill.run WHERE state = 'suspended' GROUP BY 2
    UNION ALL
    SELECT 'approvals_waiting', '', count(*)::float8 FROM waybill.approval WHERE state = 'pending'
    UNION ALL
    SELECT 'approvals_oldest_seconds', '', coalesce(extract(epoch FROM now() - min(created_at))::float8, 0)
      FROM waybill.approval WHERE state = 'pending'
    UNION ALL
    SELECT 'outbox_entries', '', count(*)::float8 FROM waybill.outbox
    UNION ALL
    SELECT 'outbox_oldest_seconds', '', coalesce(extract(epoch FROM now() - min(created_at))::float8, 0) FROM waybill.outbox
    UNION ALL
    SELECT 'deliveries_pending', '', count(*)::float8 FROM waybill.delivery WHERE state = 'pending'
  $$;
  REVOKE EXECUTE ON FUNCTION waybill.backlog() FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.backlog() TO waybill_relay;
`;
