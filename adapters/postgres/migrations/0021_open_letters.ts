import { type Kysely, sql } from 'kysely';

/**
 * Rejected records that wait for repair are kept as long as the record of their run; only those that are stored or discarded go with the
 * retention of dead letters. What a redrive has stays until that ends.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(db);
}

/** The function of migration 0015, with other letters. */
const statements = /* sql */ `
  DO $$
    DECLARE
      before text := pg_get_functiondef('waybill.begin_sweep'::regproc);
      after text;
    BEGIN
      after := replace(before, 'IF kept.dead_letters <= now() THEN', 'IF least(kept.dead_letters, kept.runs) <= now() THEN');
      after := replace(after, 'WHERE l.tenant = of_tenant AND l.run_id = of_run LIMIT letters_max',
        'WHERE l.tenant = of_tenant AND l.run_id = of_run AND l.state <> ''redriving''
           AND (l.state IN (''resolved'', ''discarded'') OR kept.runs <= now()) LIMIT letters_max');
      IF after NOT LIKE '%redriving%' OR after NOT LIKE '%least(kept.dead_letters, kept.runs)%' THEN
        RAISE 'waybill.begin_sweep is not as migration 0015 made it.';
      END IF;
      EXECUTE after;
    END $$;
`;
