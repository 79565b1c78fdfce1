import { type Kysely, sql } from 'kysely';
import { forTenants, here } from './baseline/rowSecurity.ts';

/**
 * The input of a run that its requester sends in requests of its own, from byte to byte. Its row says how far it is durable: in batches,
 * and behind the last of them in `tail`, or in `parts` where batches can be cut from the whole alone.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    CREATE TABLE waybill.upload (
      tenant text NOT NULL DEFAULT ${here},
      run_id text COLLATE "C" PRIMARY KEY,
      principal text NOT NULL,
      expires_at timestamptz NOT NULL,
      received_bytes bigint NOT NULL DEFAULT 0,
      -- As a request announced it.
      length_bytes bigint,
      compression text,
      -- The request that writes now. The next one takes its place.
      holder uuid,
      tail bytea,
      -- Objects of the run, in order: { digest, sizeBytes }.
      parts jsonb NOT NULL DEFAULT '[]',
      -- Whether the run is started, or about to be.
      started boolean NOT NULL DEFAULT false,
      CONSTRAINT upload_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id) ON DELETE CASCADE
    );
    CREATE INDEX upload_of_principal ON waybill.upload (tenant, principal);
    ${forTenants('upload', 'waybill_api')}
    CREATE POLICY relay ON waybill.upload TO waybill_relay USING (true);
    GRANT SELECT, INSERT (tenant, run_id, principal, expires_at),
      UPDATE (received_bytes, length_bytes, compression, holder, tail, parts, started) ON waybill.upload TO waybill_api;
    GRANT SELECT (tenant, run_id, expires_at, started), UPDATE (started) ON waybill.upload TO waybill_relay;
    CREATE POLICY relay_uploads ON waybill.audit_event FOR INSERT TO waybill_relay
      WITH CHECK (action = 'run.upload-abandoned');

    -- What was not cut into batches is forgotten with the end of a run, and the key of an upload that broke becomes free.
    CREATE FUNCTION waybill.release_upload() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
      BEGIN
        UPDATE waybill.upload SET tail = NULL, parts = '[]', holder = NULL WHERE run_id = NEW.id;
        IF NEW.arrival = 'broken' THEN
          DELETE FROM waybill.idempotency WHERE tenant = NEW.tenant AND run_id = NEW.id;
        END IF;
        RETURN NULL;
      END $$;
    REVOKE ALL ON FUNCTION waybill.release_upload FROM PUBLIC;
    CREATE TRIGGER release_upload AFTER UPDATE OF arrival, ended_at ON waybill.run
      FOR EACH ROW WHEN (NEW.source ? 'resumable' AND (NEW.arrival = 'broken' OR NEW.ended_at IS NOT NULL))
      EXECUTE FUNCTION waybill.release_upload();
  `;
  await sql.raw(statements).execute(db);
  await sql.raw(orphans).execute(db);
}

/** Objects that a crash has left, which no record names, are removed step by step. */
const orphans = /* sql */ `
  -- Where the next step goes on.
  CREATE TABLE waybill.object_sweep (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    after text COLLATE "C" NOT NULL
  );
  GRANT SELECT, INSERT, UPDATE ON waybill.object_sweep TO waybill_relay;
  CREATE POLICY relay_objects ON waybill.audit_event FOR INSERT TO waybill_relay WITH CHECK (action = 'objects.swept');

  -- Which of these no record names, by their places from 1. A run that goes on may be about to name one.
  CREATE FUNCTION waybill.find_orphans(runs text[], digests text[]) RETURNS SETOF integer
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
      SELECT o.place::integer FROM unnest(runs, digests) WITH ORDINALITY o (run_id, digest, place)
      LEFT JOIN waybill.run r ON r.id = o.run_id
      WHERE r.id IS NULL OR (r.ended_at IS NOT NULL
        AND NOT EXISTS (SELECT FROM waybill.batch b WHERE b.run_id = r.id AND b.digest = o.digest)
        AND NOT EXISTS (SELECT FROM waybill.stage s WHERE s.run_id = r.id AND o.digest IN (s.digest, s.rejected_digest))
        AND NOT EXISTS (SELECT FROM waybill.approval a
          WHERE a.tenant = r.tenant AND a.run_id = r.id AND a.sample ->> 'digest' = o.digest)
        AND NOT EXISTS (SELECT FROM waybill.source_window w
          WHERE w.tenant = r.tenant AND w.run_id = r.id AND w.extent ->> 'list' = o.digest))
    $$;
  REVOKE ALL ON FUNCTION waybill.find_orphans FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.find_orphans TO waybill_relay;
`;
