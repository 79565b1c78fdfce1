import { type Kysely, sql } from 'kysely';

/**
 * A rejected record can be edited, sent again and discarded. Its bytes and where it comes from never change; its state changes only
 * along its life: `guard_dead_letter` holds the API and the workers to their part of it.
 *
 * A redrive claims letters in the transaction that accepts its run. They leave that state together with their rows, or, where the run
 * ends without storing them, by a trigger in the transaction that records the end.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statements of [letters, groups, guard, end, audit]) await sql.raw(statements).execute(db);
}

const letters = /* sql */ `
  ALTER TABLE waybill.dead_letter
    -- Order of insertion, for lists.
    ADD COLUMN n bigint GENERATED ALWAYS AS IDENTITY,
    ADD COLUMN attempt integer NOT NULL DEFAULT 1,
    -- Counts the changes, so that of two editors the later learns of the earlier.
    ADD COLUMN revision integer NOT NULL DEFAULT 1,
    ADD COLUMN changed_at timestamptz,
    -- The corrected record: JSON, or text in the format of the source.
    ADD COLUMN edit bytea,
    ADD COLUMN edit_form text CHECK (edit_form IN ('record', 'raw')),
    ADD COLUMN edit_version integer,
    ADD COLUMN edited_by jsonb,
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN discarded_by jsonb,
    ADD COLUMN reason text,
    -- The redrive that has it, or had it last, and where it is among its records.
    ADD COLUMN redrive_run text COLLATE "C",
    ADD COLUMN redrive_position bigint,
    ADD COLUMN state_before text,
    ADD CONSTRAINT dead_letter_state CHECK (state IN ('open', 'repaired', 'redriving', 'resolved', 'discarded')),
    ADD CONSTRAINT dead_letter_edit CHECK ((edit IS NULL) = (edit_form IS NULL) AND (edit IS NULL) = (edit_version IS NULL));
  DROP INDEX waybill.dead_letter_by_run;
  CREATE INDEX dead_letter_by_tenant ON waybill.dead_letter (tenant, created_at, n);
  CREATE INDEX dead_letter_by_run ON waybill.dead_letter (tenant, run_id, created_at, n);
  CREATE INDEX dead_letter_by_pipeline ON waybill.dead_letter (tenant, pipeline, created_at, n);
  CREATE INDEX dead_letter_by_code ON waybill.dead_letter (tenant, code, created_at, n);
  CREATE INDEX dead_letter_by_path ON waybill.dead_letter (tenant, path, created_at, n);
  CREATE INDEX dead_letter_by_state ON waybill.dead_letter (tenant, state, created_at, n);
  CREATE INDEX dead_letter_by_redrive ON waybill.dead_letter (tenant, redrive_run, redrive_position)
    WHERE redrive_run IS NOT NULL;

  GRANT UPDATE (state, attempt, revision, changed_at, stage, code, path, message) ON waybill.dead_letter TO waybill_worker;
  GRANT UPDATE (state, revision, changed_at, edit, edit_form, edit_version, edited_by, edited_at, discarded_by, reason,
                redrive_run, redrive_position, state_before) ON waybill.dead_letter TO waybill_api;
`;

/** Counts of a run by state, code and path, kept by triggers, so that no request counts ten million letters. */
const groups = /* sql */ `
  CREATE TABLE waybill.dead_letter_group (
    tenant text NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    pipeline text NOT NULL,
    state text NOT NULL,
    code text NOT NULL,
    path text NOT NULL,
    letters bigint NOT NULL,
    PRIMARY KEY (tenant, run_id, state, code, path)
  );
  CREATE INDEX dead_letter_group_by_pipeline ON waybill.dead_letter_group (tenant, pipeline);
  CREATE INDEX dead_letter_group_open ON waybill.dead_letter_group (tenant, run_id)
    WHERE state IN ('open', 'repaired', 'redriving');
  ALTER TABLE waybill.dead_letter_group ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.dead_letter_group TO waybill_api
    USING (tenant = nullif(current_setting('waybill.tenant', true), ''));
  GRANT SELECT ON waybill.dead_letter_group TO waybill_api;

  CREATE FUNCTION waybill.count_dead_letters() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
    BEGIN
      -- In one order, so that two transactions never wait for each other.
      IF TG_OP = 'INSERT' THEN
        INSERT INTO waybill.dead_letter_group AS g (tenant, run_id, pipeline, state, code, path, letters)
          SELECT tenant, run_id, pipeline, state, code, path, count(*) FROM new_letters
          GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 4, 5, 6
          ON CONFLICT (tenant, run_id, state, code, path) DO UPDATE SET letters = g.letters + excluded.letters;
      ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO waybill.dead_letter_group AS g (tenant, run_id, pipeline, state, code, path, letters)
          SELECT tenant, run_id, pipeline, state, code, path, -count(*) FROM old_letters
          GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 4, 5, 6
          ON CONFLICT (tenant, run_id, state, code, path) DO UPDATE SET letters = g.letters + excluded.letters;
        DELETE FROM waybill.dead_letter_group g USING (SELECT DISTINCT tenant, run_id FROM old_letters) o
          WHERE g.tenant = o.tenant AND g.run_id = o.run_id AND g.letters = 0;
      ELSE
        INSERT INTO waybill.dead_letter_group AS g (tenant, run_id, pipeline, state, code, path, letters)
          SELECT tenant, run_id, pipeline, state, code, path, sum(change) FROM (
            SELECT tenant, run_id, pipeline, state, code, path, 1 AS change FROM new_letters
            UNION ALL SELECT tenant, run_id, pipeline, state, code, path, -1 FROM old_letters) each
          GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(change) <> 0 ORDER BY 1, 2, 4, 5, 6
          ON CONFLICT (tenant, run_id, state, code, path) DO UPDATE SET letters = g.letters + excluded.letters;
        DELETE FROM waybill.dead_letter_group g USING (SELECT DISTINCT tenant, run_id, state, code, path FROM old_letters) o
          WHERE (g.tenant, g.run_id, g.state, g.code, g.path) = (o.tenant, o.run_id, o.state, o.code, o.path) AND g.letters = 0;
      END IF;
      RETURN NULL;
    END $$;
  REVOKE ALL ON FUNCTION waybill.count_dead_letters FROM PUBLIC;
  INSERT INTO waybill.dead_letter_group (tenant, run_id, pipeline, state, code, path, letters)
    SELECT tenant, run_id, pipeline, state, code, path, count(*) FROM waybill.dead_letter GROUP BY 1, 2, 3, 4, 5, 6;
  CREATE TRIGGER count_inserted AFTER INSERT ON waybill.dead_letter REFERENCING NEW TABLE AS new_letters
    FOR EACH STATEMENT EXECUTE FUNCTION waybill.count_dead_letters();
  CREATE TRIGGER count_deleted AFTER DELETE ON waybill.dead_letter REFERENCING OLD TABLE AS old_letters
    FOR EACH STATEMENT EXECUTE FUNCTION waybill.count_dead_letters();
  CREATE TRIGGER count_updated AFTER UPDATE ON waybill.dead_letter
    REFERENCING OLD TABLE AS old_letters NEW TABLE AS new_letters
    FOR EACH STATEMENT EXECUTE FUNCTION waybill.count_dead_letters();
`;

const guard = /* sql */ `
  CREATE FUNCTION waybill.guard_dead_letter() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
    DECLARE
      lawful boolean;
    BEGIN
      IF NEW IS NOT DISTINCT FROM OLD THEN
        RETURN NEW;
      END IF;
      IF current_user = 'waybill_worker' THEN
        lawful := OLD.state = 'redriving' AND NEW.state IN ('resolved', 'open');
      ELSE
        lawful := OLD.state IN ('open', 'repaired') AND NEW.state IN ('repaired', 'redriving', 'discarded');
      END IF;
      IF NOT lawful THEN
        RAISE 'Dead letter % does not go from % to % by %.', OLD.id, OLD.state, NEW.state, current_user
          USING ERRCODE = 'insufficient_privilege';
      END IF;
      IF 'redriving' IN (OLD.state, NEW.state) AND NOT EXISTS (SELECT FROM waybill.run r
          WHERE r.tenant = NEW.tenant AND r.id = NEW.redrive_run AND r.ended_at IS NULL
            AND r.source ->> 'kind' = 'deadLetters') THEN
        RAISE 'Dead letter % is not under way in run %.', OLD.id, NEW.redrive_run USING ERRCODE = 'insufficient_privilege';
      END IF;
      RETURN NEW;
    END $$;
  CREATE TRIGGER guard_dead_letter BEFORE UPDATE ON waybill.dead_letter
    FOR EACH ROW WHEN (current_user IN ('waybill_worker', 'waybill_api'))
    EXECUTE FUNCTION waybill.guard_dead_letter();
`;

/** However a redrive ends, what it did not settle is free again. */
const end = /* sql */ `
  CREATE FUNCTION waybill.return_dead_letters() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
    BEGIN
      UPDATE waybill.dead_letter
        SET state = coalesce(state_before, 'open'), revision = revision + 1, changed_at = now()
        WHERE tenant = NEW.tenant AND redrive_run = NEW.id AND state = 'redriving';
      RETURN NULL;
    END $$;
  REVOKE ALL ON FUNCTION waybill.return_dead_letters FROM PUBLIC;
  CREATE TRIGGER return_dead_letters AFTER UPDATE OF ended_at ON waybill.run FOR EACH ROW
    WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL AND NEW.source ->> 'kind' = 'deadLetters')
    EXECUTE FUNCTION waybill.return_dead_letters();
`;

/** Beside what the policy names already, so that its list stands in one place. */
const audit = /* sql */ `
  DO $$ BEGIN
    EXECUTE (SELECT format(
      'ALTER POLICY of_workers ON waybill.audit_event WITH CHECK ((%s) OR action IN (''dead-letter.recorded'', ''dead-letter.settled''))',
      pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
      WHERE polname = 'of_workers' AND polrelid = 'waybill.audit_event'::regclass);
    EXECUTE (SELECT format(
      'ALTER POLICY of_apis ON waybill.audit_event WITH CHECK ((%s) AND action NOT IN (''dead-letter.recorded'', ''dead-letter.settled''))',
      pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
      WHERE polname = 'of_apis' AND polrelid = 'waybill.audit_event'::regclass);
  END $$;
`;
