import type { ClientBase } from 'pg';
import type { Shard } from '../../../domain/connectors/lanes.ts';
import { sql } from '../../../domain/sql.ts';
import { ensurePartitions, partitioning } from '../migrations/0019_partitions.ts';
import { forTenants } from '../migrations/baseline/rowSecurity.ts';

/**
 * What a shard has beside the tables of sinks, in the schema `waybill`: which shard of which table it is, and which slots of which
 * batch are stored. Run as the migrator, in the transaction that prepares a table. The main database may be a shard too.
 */
export async function prepareShardSchema(client: ClientBase): Promise<void> {
  await client.query(`SELECT pg_advisory_xact_lock(hashtextextended('waybill.shard', 0))`);
  const { rows } = await client.query<{ schema: boolean; partitioning: boolean; slots: boolean }>(
    `SELECT to_regnamespace('waybill') IS NOT NULL AS schema,
            to_regclass('waybill.sink_partitioning') IS NOT NULL AS partitioning,
            to_regclass('waybill.shard_slot') IS NOT NULL AS slots`,
  );
  const is = rows[0]!;
  if (!is.schema) await client.query('CREATE SCHEMA waybill');
  await client.query('GRANT USAGE ON SCHEMA waybill TO waybill_worker');
  if (!is.partitioning) await client.query(`${partitioning} ${ensurePartitions}`);
  if (!is.slots) await client.query(slots);
}

const slots = /* sql */ `
  CREATE TABLE waybill.shard_table (
    table_name text PRIMARY KEY,
    shard text NOT NULL,
    place integer NOT NULL,
    shards integer NOT NULL
  );
  CREATE TABLE waybill.shard_slot (
    tenant text NOT NULL,
    table_name text NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 15),
    run_id text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    -- Counts and rejected records of all slots of the transaction, in the first of them.
    stored jsonb,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, table_name, slot, run_id, seq)
  );
  ${forTenants('shard_slot', 'waybill_worker')}
  GRANT SELECT ON waybill.shard_table TO waybill_worker;
  GRANT SELECT, DELETE, INSERT (tenant, table_name, slot, run_id, seq, stored) ON waybill.shard_slot TO waybill_worker;
`;

/** Which shard of a table a database is; `hasTable` also where it is none. */
export async function readPlace(
  client: ClientBase,
  table: string,
): Promise<{ hasTable: boolean; place?: ShardPlace }> {
  const { rows } = await client.query<{ hasTable: boolean; isPrepared: boolean }>(
    sql(
      `SELECT to_regclass('waybill.shard_table') IS NOT NULL AS "isPrepared",
              EXISTS (SELECT FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = :table) AS "hasTable"`,
      { table },
    ),
  );
  const { hasTable, isPrepared } = rows[0]!;
  if (!isPrepared) return { hasTable };
  const places = await client.query<ShardPlace>(
    sql('SELECT shard, place, shards FROM waybill.shard_table WHERE table_name = :table', { table }),
  );
  return { hasTable, ...(places.rows[0] && { place: places.rows[0] }) };
}

export interface ShardPlace {
  shard: string;
  /** From 0, of so many `shards`. */
  place: number;
  shards: number;
}

export async function recordPlace(
  client: ClientBase,
  table: string,
  { name, place }: Shard,
  shards: number,
): Promise<void> {
  await client.query(
    sql(
      `INSERT INTO waybill.shard_table (table_name, shard, place, shards) VALUES (:table, :name, :place, :shards)
       ON CONFLICT (table_name) DO NOTHING`,
      { table, name, place, shards },
    ),
  );
}

/** What the main database says of a table: its shards, in their order. */
export async function readShards(
  main: ClientBase,
  table: string,
): Promise<{ recorded?: string[]; hasTable: boolean }> {
  const { hasTable, place } = await readPlace(main, table);
  const known = await main.query<{ known: boolean }>(
    `SELECT to_regclass('waybill.sink_shards') IS NOT NULL AS known`,
  );
  const { rows } = known.rows[0]!.known
    ? await main.query<{ shards: string[] }>(
        sql('SELECT shards FROM waybill.sink_shards WHERE table_name = :table', { table }),
      )
    : { rows: [] };
  // Where the main database is a shard itself, the table there is that of the shard.
  return { hasTable: hasTable && !place, ...(rows[0] && { recorded: rows[0].shards }) };
}

export async function recordShards(
  main: ClientBase,
  table: string,
  shards: readonly string[],
): Promise<void> {
  await main.query(
    sql(
      'INSERT INTO waybill.sink_shards (table_name, shards) VALUES (:table, :shards::text[]) ON CONFLICT DO NOTHING',
      { table, shards },
    ),
  );
}
