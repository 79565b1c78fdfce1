import { type Kysely, sql } from 'kysely';

/**
 * Each signing key is vouched for by the one before it, so that a row of `waybill.grant_key` is not believed for being there.
 *
 * How the input of a run arrived is settled once, and by whom it arrives: an upload, or records within a request, is
 * complete when the API says so; what a worker fetches, when the worker does. Nobody else, and never a second time.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    ALTER TABLE waybill.grant_key ADD COLUMN voucher text;

    CREATE FUNCTION waybill.guard_arrival() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
      BEGIN
        IF OLD.arrival <> 'open' THEN
          RAISE 'The arrival of run % is settled: %.', OLD.id, OLD.arrival USING ERRCODE = 'insufficient_privilege';
        END IF;
        IF NEW.arrival = 'sealed' AND current_user <>
            (CASE WHEN NEW.source ->> 'kind' IN ('upload', 'inline') THEN 'waybill_api' ELSE 'waybill_worker' END) THEN
          RAISE 'The input of run % is not for % to seal.', OLD.id, current_user USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN NEW;
      END $$;
    CREATE TRIGGER guard_arrival BEFORE UPDATE OF arrival ON waybill.run
      FOR EACH ROW WHEN (OLD.arrival IS DISTINCT FROM NEW.arrival) EXECUTE FUNCTION waybill.guard_arrival();
  `;
  await sql.raw(statements).execute(db);
}
