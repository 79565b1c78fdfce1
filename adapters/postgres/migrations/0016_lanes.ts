import { type Kysely, sql } from 'kysely';
import { forTenants } from './baseline/rowSecurity.ts';

/** A batch may be stored in several transactions, one for each lane of its rows; its entry in the ledger comes after the last. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql
    .raw(/* sql */ `
      CREATE TABLE waybill.ledger_slot (
        tenant text NOT NULL,
        run_id text COLLATE "C" NOT NULL,
        seq integer NOT NULL,
        slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 15),
        -- Of all slots of the transaction, in the first of them.
        counts jsonb,
        -- Records that the database rejected, likewise.
        rejected jsonb,
        stored_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant, run_id, seq, slot),
        CONSTRAINT ledger_slot_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id) ON DELETE CASCADE
      );
      ${forTenants('ledger_slot', 'waybill_worker')}
      GRANT SELECT, INSERT (tenant, run_id, seq, slot, counts, rejected) ON waybill.ledger_slot TO waybill_worker;
    `)
    .execute(db);
}
