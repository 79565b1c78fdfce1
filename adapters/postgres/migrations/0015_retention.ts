import { type Kysely, sql } from 'kysely';

/**
 * Nothing grows for ever: what a run leaves is removed once the retention of its pipeline is over, unless a legal hold is on it.
 *
 * Only the migrator writes the retention, and only two functions delete: they compare it with the clock of the database. So a stolen
 * password of the relay, which calls them, removes nothing before its time.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statements of [tables, rules, begin, finish]) await sql.raw(statements).execute(db);
}

const tables = /* sql */ `
  CREATE TABLE waybill.retention (
    -- '' is every pipeline that has no row.
    pipeline text PRIMARY KEY,
    -- After the end of a run. NULL: for ever.
    input_ms bigint,
    runs_ms bigint,
    dead_letters_ms bigint,
    stages_ms bigint
  );

  CREATE TABLE waybill.legal_hold (
    tenant text NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    placed_by jsonb,
    placed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, run_id),
    CONSTRAINT legal_hold_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
  );
  ALTER TABLE waybill.legal_hold ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.legal_hold TO waybill_api
    USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
  GRANT SELECT, INSERT (tenant, run_id, reason, placed_by), DELETE ON waybill.legal_hold TO waybill_api;

  ALTER TABLE waybill.run
    -- When something of it is due next; NULL: unknown.
    ADD COLUMN sweep_at timestamptz,
    -- Its objects are removed, or about to be.
    ADD COLUMN input_removed_at timestamptz;
  CREATE INDEX run_to_sweep ON waybill.run ((coalesce(sweep_at, ended_at))) WHERE ended_at IS NOT NULL;
  CREATE INDEX backfill_of_run ON waybill.backfill (tenant, run_id);
  GRANT SELECT (sweep_at) ON waybill.run TO waybill_relay;
  -- A watermark outlives the run that moved it.
  ALTER TABLE waybill.watermark DROP CONSTRAINT watermark_tenant_run_id_fkey;
`;

const rules = /* sql */ `
  -- Until when each part of a run is kept. Nothing of it outlives its record.
  CREATE FUNCTION waybill.kept_until(pipeline text, ended_at timestamptz)
    RETURNS TABLE (input timestamptz, dead_letters timestamptz, stages timestamptz, runs timestamptz)
    LANGUAGE sql STABLE SET search_path = '' AS $$
      WITH rule AS (
        SELECT r.* FROM waybill.retention r WHERE r.pipeline IN (kept_until.pipeline, '') ORDER BY r.pipeline DESC LIMIT 1
      ), until AS (
        SELECT coalesce(kept_until.ended_at + input_ms * interval '1 millisecond', 'infinity') AS input,
               coalesce(kept_until.ended_at + dead_letters_ms * interval '1 millisecond', 'infinity') AS dead_letters,
               coalesce(kept_until.ended_at + stages_ms * interval '1 millisecond', 'infinity') AS stages,
               coalesce(kept_until.ended_at + runs_ms * interval '1 millisecond', 'infinity') AS runs
        FROM (SELECT) always LEFT JOIN rule ON true
      )
      SELECT least(u.input, u.runs), least(u.dead_letters, u.runs), least(u.stages, u.runs), u.runs FROM until u
    $$;
  REVOKE ALL ON FUNCTION waybill.kept_until FROM PUBLIC;
`;

const begin = /* sql */ `
  CREATE FUNCTION waybill.begin_sweep(of_tenant text, of_run text, OUT digests text[], OUT more boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
    DECLARE
      run waybill.run;
      kept record;
      deleted integer := 0;
      letters_max constant integer := 20000;
    BEGIN
      digests := '{}';
      more := false;
      SELECT * INTO run FROM waybill.run r WHERE r.tenant = of_tenant AND r.id = of_run AND r.ended_at IS NOT NULL FOR UPDATE;
      IF NOT FOUND OR EXISTS (SELECT FROM waybill.legal_hold h WHERE h.tenant = of_tenant AND h.run_id = of_run) THEN
        RETURN;
      END IF;
      SELECT * INTO kept FROM waybill.kept_until(run.pipeline, run.ended_at);

      IF kept.dead_letters <= now() THEN
        WITH gone AS (
          DELETE FROM waybill.dead_letter d WHERE d.ctid = ANY (ARRAY(
            SELECT l.ctid FROM waybill.dead_letter l WHERE l.tenant = of_tenant AND l.run_id = of_run LIMIT letters_max))
          RETURNING 1
        ) SELECT count(*) INTO deleted FROM gone;
        IF deleted > 0 THEN
          INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, detail)
            VALUES (of_tenant, of_run, run.txn, 'run.swept', 'success', jsonb_build_object('deadLetters', deleted));
        END IF;
        more := deleted = letters_max;
        IF more THEN RETURN; END IF;
      END IF;

      -- A rejected record may lie in the bytes of its batch.
      IF kept.input <= now() AND NOT EXISTS (
          SELECT FROM waybill.dead_letter d WHERE d.tenant = of_tenant AND d.run_id = of_run AND d.object IS NOT NULL) THEN
        digests := ARRAY(SELECT b.digest FROM waybill.batch b WHERE b.tenant = of_tenant AND b.run_id = of_run);
        IF run.input_removed_at IS NULL THEN
          UPDATE waybill.run r SET input_removed_at = now() WHERE r.id = of_run;
          UPDATE waybill.batch b SET bytes = NULL
            WHERE b.tenant = of_tenant AND b.run_id = of_run AND b.bytes IS NOT NULL;
          INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, detail)
            VALUES (of_tenant, of_run, run.txn, 'run.swept', 'success',
                    jsonb_build_object('inputObjects', cardinality(digests)));
        END IF;
      END IF;
      IF kept.stages <= now() THEN
        digests := digests || ARRAY(
          SELECT o FROM waybill.stage s, unnest(ARRAY[s.digest, s.rejected_digest]) o
          WHERE s.tenant = of_tenant AND s.run_id = of_run AND o IS NOT NULL);
      END IF;
    END $$;
  REVOKE ALL ON FUNCTION waybill.begin_sweep FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.begin_sweep TO waybill_relay;
`;

const finish = /* sql */ `
  CREATE FUNCTION waybill.finish_sweep(of_tenant text, of_run text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
    DECLARE
      run waybill.run;
      kept record;
      deleted integer := 0;
    BEGIN
      SELECT * INTO run FROM waybill.run r WHERE r.tenant = of_tenant AND r.id = of_run AND r.ended_at IS NOT NULL FOR UPDATE;
      IF NOT FOUND THEN RETURN; END IF;
      IF EXISTS (SELECT FROM waybill.legal_hold h WHERE h.tenant = of_tenant AND h.run_id = of_run) THEN
        UPDATE waybill.run r SET sweep_at = now() + interval '1 day' WHERE r.id = of_run;
        RETURN;
      END IF;
      SELECT * INTO kept FROM waybill.kept_until(run.pipeline, run.ended_at);

      IF kept.runs <= now() AND run.input_removed_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM waybill.dead_letter d WHERE d.tenant = of_tenant AND d.run_id = of_run) THEN
        DELETE FROM waybill.decision d USING waybill.approval a
          WHERE a.tenant = of_tenant AND a.run_id = of_run AND d.tenant = a.tenant AND d.approval_id = a.id;
        DELETE FROM waybill.approval x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.delivery x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.firing x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.backfill x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.failed_attempt x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.source_window x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.idempotency x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.outbox x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.ledger x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.stage x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.batch x WHERE x.tenant = of_tenant AND x.run_id = of_run;
        DELETE FROM waybill.run x WHERE x.tenant = of_tenant AND x.id = of_run;
        INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, detail)
          VALUES (of_tenant, of_run, run.txn, 'run.deleted', 'success',
                  jsonb_build_object('pipeline', run.pipeline, 'endedAt', run.ended_at));
        RETURN;
      END IF;

      IF kept.stages <= now() THEN
        WITH gone AS (
          DELETE FROM waybill.stage s WHERE s.tenant = of_tenant AND s.run_id = of_run RETURNING 1
        ) SELECT count(*) INTO deleted FROM gone;
        IF deleted > 0 THEN
          INSERT INTO waybill.audit_event (tenant, run_id, txn, action, outcome, detail)
            VALUES (of_tenant, of_run, run.txn, 'run.swept', 'success', jsonb_build_object('stages', deleted));
        END IF;
      END IF;
      -- Input that waits for rejected records is due with them.
      UPDATE waybill.run r SET sweep_at = (
        SELECT min(at) FROM unnest(ARRAY[kept.input, kept.dead_letters, kept.stages, kept.runs]) at WHERE at > now())
        WHERE r.id = of_run;
      UPDATE waybill.run r SET sweep_at = 'infinity' WHERE r.id = of_run AND r.sweep_at IS NULL;
    END $$;
  REVOKE ALL ON FUNCTION waybill.finish_sweep FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.finish_sweep TO waybill_relay;
`;
