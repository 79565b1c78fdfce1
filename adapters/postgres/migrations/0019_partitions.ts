import { type Kysely, sql } from 'kysely';

/**
 * Tables of sinks that are split by time, and which run replaced the rows of a table last.
 *
 * A worker owns no table. A function of the migrator makes the partitions that its rows need, of tables that the migrator has listed
 * here and of no other. So a stolen password of a worker gains nothing but empty partitions, of which there is a bound.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statements of [tables, ensurePartitions]) await sql.raw(statements).execute(db);
}

/** Also of a shard, like the function below. */
export const partitioning = /* sql */ `
  CREATE TABLE waybill.sink_partitioning (
    table_name text PRIMARY KEY,
    every text NOT NULL CHECK (every IN ('day', 'week', 'month', 'year'))
  );`;

const tables = /* sql */ `
  ${partitioning}
  -- Of the run that replaced all rows of the table last, its place in the order of acceptance.
  ALTER TABLE waybill.sink_version ADD COLUMN replaced_order bigint;
  GRANT INSERT (replaced_order), UPDATE (replaced_order) ON waybill.sink_version TO waybill_worker;
`;

export const ensurePartitions = /* sql */ `
  CREATE FUNCTION waybill.ensure_partitions(of_table text, at timestamp[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET timezone = 'UTC' AS $$
    DECLARE
      rule waybill.sink_partitioning;
      parent regclass;
      starts timestamp[];
      start timestamp;
      child text;
      made integer := 0;
      partitions_max constant integer := 4000;
    BEGIN
      SELECT * INTO rule FROM waybill.sink_partitioning r WHERE r.table_name = of_table;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'table % is not partitioned by time', of_table USING ERRCODE = '42P01';
      END IF;
      starts := ARRAY(
        SELECT DISTINCT date_trunc(rule.every, a) FROM unnest(at) a
        WHERE to_regclass(format('public.%I', of_table || '_' || to_char(date_trunc(rule.every, a), 'YYYYMMDD'))) IS NULL
        ORDER BY 1);
      IF cardinality(starts) = 0 THEN RETURN 0; END IF;
      parent := format('public.%I', of_table)::regclass;
      -- Attaching takes it anyway; readers and writers of the table go on.
      EXECUTE format('LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE', parent);
      IF cardinality(starts) + (SELECT count(*) FROM pg_catalog.pg_inherits h WHERE h.inhparent = parent) > partitions_max THEN
        RAISE EXCEPTION 'table % would have more than % partitions', of_table, partitions_max USING ERRCODE = '23514';
      END IF;
      FOREACH start IN ARRAY starts LOOP
        child := format('public.%I', of_table || '_' || to_char(start, 'YYYYMMDD'));
        -- Another transaction may have made it before we had the lock.
        CONTINUE WHEN to_regclass(child) IS NOT NULL;
        EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', child);
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
                       parent, child, start, start + ('1 ' || rule.every)::interval);
        made := made + 1;
      END LOOP;
      RETURN made;
    END $$;
  REVOKE ALL ON FUNCTION waybill.ensure_partitions FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.ensure_partitions TO waybill_worker;
`;
