import { type Kysely, sql } from 'kysely';

/**
 * What a stolen password of a worker or relay can do is less: it takes no id of the audit log in advance, dates nothing back,
 * records only the actions of its own role and in the name of principals of the run, escalates or prolongs no approval, brings no
 * ended run back, frees no idempotency key, and starts no schedule that was stopped.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statements of [columns, auditRows, approvalTimes, endedRuns, keys, schedules])
    await sql.raw(statements).execute(db);
}

/** Times and serial numbers are the database’s to give. */
const columns = /* sql */ `
  REVOKE INSERT ON waybill.audit_event FROM waybill_api, waybill_worker, waybill_relay;
  GRANT INSERT (tenant, run_id, txn, action, outcome, actor, detail) ON waybill.audit_event
    TO waybill_api, waybill_worker, waybill_relay;
  REVOKE INSERT ON waybill.run FROM waybill_api;
  GRANT INSERT (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by, parameters,
                source, callback, grant_jws, txn, arrival, counts, reason, ended_at) ON waybill.run TO waybill_api;
  REVOKE UPDATE ON waybill.run FROM waybill_api;
  GRANT UPDATE (arrival, touched_at, cancel_requested_by, grant_jws, successor_id) ON waybill.run TO waybill_api;
  REVOKE INSERT ON waybill.outbox FROM waybill_api, waybill_relay;
  GRANT INSERT (tenant, kind, run_id, decision_id) ON waybill.outbox TO waybill_api;
  GRANT INSERT (tenant, kind, run_id) ON waybill.outbox TO waybill_relay;
  REVOKE INSERT ON waybill.batch FROM waybill_api, waybill_worker;
  GRANT INSERT (tenant, run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records, header, refused,
                source_version) ON waybill.batch TO waybill_api, waybill_worker;
  REVOKE INSERT ON waybill.stage, waybill.ledger, waybill.dead_letter, waybill.decision, waybill.sink_version,
    waybill.watermark FROM waybill_worker;
  GRANT INSERT (tenant, run_id, seq, stage, digest, size_bytes, rejected_digest, counts, highest) ON waybill.stage
    TO waybill_worker;
  GRANT INSERT (tenant, run_id, seq, counts, rejected_by_code) ON waybill.ledger TO waybill_worker;
  GRANT INSERT (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset, byte_length, stage,
                code, path, message, raw, object) ON waybill.dead_letter TO waybill_worker;
  GRANT INSERT (id, tenant, approval_id, run_id, principal, by, vote, comment, form, jws, counted, refused)
    ON waybill.decision TO waybill_worker;
  REVOKE UPDATE ON waybill.sink_version FROM waybill_worker;
  GRANT INSERT (tenant, table_name, version), UPDATE (version) ON waybill.sink_version TO waybill_worker;
  GRANT INSERT (tenant, pipeline, key, source, mark, run_id) ON waybill.watermark TO waybill_worker;
`;

/** Restrictive: the policies of the tenant count as well. */
const auditRows = /* sql */ `
  CREATE POLICY of_workers ON waybill.audit_event AS RESTRICTIVE FOR INSERT TO waybill_worker WITH CHECK (action IN (
    'run.started', 'run.suspended', 'run.resumed', 'run.completed', 'run.failed', 'run.cancelled', 'run.terminated',
    'run.restarted', 'run.published', 'source.read', 'batch.validated', 'batch.transformed', 'batch.stored',
    'watermark.moved', 'approval.requested', 'approval.waived', 'approval.approved', 'approval.rejected',
    'approval.expired', 'approval.reminded', 'approval.escalated', 'approval.voided', 'approval.cancelled',
    'decision.counted', 'decision.refused', 'attempt.refused', 'workflow.reset', 'policy.loaded'));
  CREATE POLICY of_apis ON waybill.audit_event AS RESTRICTIVE FOR INSERT TO waybill_api WITH CHECK (action NOT IN (
    'run.started', 'run.completed', 'run.terminated', 'run.published', 'batch.validated', 'batch.transformed',
    'batch.stored', 'watermark.moved', 'approval.approved', 'decision.counted'));

  -- A worker acts for the requester of a run, or records what an approver of it has decided. A refused attempt may be about no run.
  CREATE FUNCTION waybill.guard_actor() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
    BEGIN
      IF NOT EXISTS (
        SELECT FROM waybill.run r WHERE r.id = NEW.run_id AND NEW.actor ->> 'id' IN
          (r.principal, r.requested_by ->> 'id', r.requested_by -> 'actor' ->> 'id')
        UNION ALL
        SELECT FROM waybill.decision d WHERE d.run_id = NEW.run_id AND d.principal = NEW.actor ->> 'id') THEN
        RAISE 'A worker cannot record an event of run % by %.', NEW.run_id, NEW.actor ->> 'id'
          USING ERRCODE = 'insufficient_privilege';
      END IF;
      RETURN NEW;
    END $$;
  CREATE TRIGGER guard_actor BEFORE INSERT ON waybill.audit_event
    FOR EACH ROW WHEN (current_user = 'waybill_worker' AND NEW.actor IS NOT NULL AND NEW.action <> 'attempt.refused')
    EXECUTE FUNCTION waybill.guard_actor();
`;

/** Who may decide, and until when, follows from the terms and from the clock of the database alone. */
const approvalTimes = /* sql */ `
  REVOKE INSERT, UPDATE ON waybill.approval FROM waybill_worker;
  REVOKE UPDATE (state, by, expires_at, remind_at, escalated_at, ended_at) ON waybill.approval FROM waybill_worker;
  GRANT INSERT (id, tenant, run_id, pipeline, gate, round, state, digest, shown, sample, terms),
    UPDATE (state, ended_at) ON waybill.approval TO waybill_worker;

  CREATE FUNCTION waybill.time_approval() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
    BEGIN
      NEW.created_at := clock_timestamp();
      NEW.by := NEW.terms -> 'by';
      NEW.expires_at := NEW.created_at + (NEW.terms ->> 'withinMs')::bigint * interval '1 millisecond';
      NEW.remind_at := NEW.created_at + (NEW.terms ->> 'remindMs')::bigint * interval '1 millisecond';
      NEW.ended_at := CASE NEW.state WHEN 'waived' THEN NEW.created_at END;
      RETURN NEW;
    END $$;
  CREATE TRIGGER time_approval BEFORE INSERT ON waybill.approval
    FOR EACH ROW WHEN (current_user = 'waybill_worker') EXECUTE FUNCTION waybill.time_approval();

  -- A reminder, an escalation or the end, where one of them is due. As the owner of the table, for the tenant of the session.
  CREATE FUNCTION waybill.process_approval_timers(approval text) RETURNS SETOF waybill.approval
    LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
      WITH due AS (
        SELECT id, CASE WHEN expires_at > clock_timestamp() THEN 'reminded'
                        WHEN terms ->> 'onTimeout' = 'escalate' AND escalated_at IS NULL THEN 'escalated'
                        ELSE 'expired' END AS what
        FROM waybill.approval
        WHERE id = process_approval_timers.approval AND tenant = nullif(current_setting('waybill.tenant', true), '')
          AND state = 'pending' AND least(remind_at, expires_at) <= clock_timestamp()
      )
      UPDATE waybill.approval a SET
        state = CASE WHEN what = 'expired' THEN what ELSE state END,
        ended_at = CASE WHEN what = 'expired' THEN clock_timestamp() END,
        escalated_at = CASE WHEN what = 'escalated' THEN clock_timestamp() ELSE escalated_at END,
        by = CASE WHEN what = 'escalated' THEN a.by || (a.terms -> 'escalateTo') ELSE a.by END,
        expires_at = CASE WHEN what = 'escalated'
          THEN clock_timestamp() + (a.terms ->> 'withinMs')::bigint * interval '1 millisecond' ELSE expires_at END,
        remind_at = clock_timestamp() + (a.terms ->> 'remindMs')::bigint * interval '1 millisecond'
      FROM due WHERE a.id = due.id RETURNING a.*
    $$;
  REVOKE ALL ON FUNCTION waybill.process_approval_timers FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.process_approval_timers TO waybill_worker;
`;

/** A run ends once, and begins in one execution. */
const endedRuns = /* sql */ `
  CREATE FUNCTION waybill.guard_end() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
    BEGIN
      RAISE 'Run % has ended, or began in another execution.', OLD.id USING ERRCODE = 'insufficient_privilege';
    END $$;
  CREATE TRIGGER guard_end BEFORE UPDATE OF state, ended_at, first_execution ON waybill.run FOR EACH ROW
    WHEN (current_user IN ('waybill_worker', 'waybill_api') AND (
      (OLD.ended_at IS NOT NULL AND (NEW.ended_at, NEW.state) IS DISTINCT FROM (OLD.ended_at, OLD.state))
      OR (OLD.first_execution IS NOT NULL AND NEW.first_execution IS DISTINCT FROM OLD.first_execution)))
    EXECUTE FUNCTION waybill.guard_end();
`;

/** The key of an upload that broke becomes free with the change itself, and by no role. */
const keys = /* sql */ `
  CREATE FUNCTION waybill.free_idempotency_key() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
    BEGIN
      DELETE FROM waybill.idempotency WHERE tenant = NEW.tenant AND run_id = NEW.id AND request_digest IS NULL;
      RETURN NULL;
    END $$;
  REVOKE ALL ON FUNCTION waybill.free_idempotency_key FROM PUBLIC;
  CREATE TRIGGER free_idempotency_key AFTER UPDATE OF arrival ON waybill.run
    FOR EACH ROW WHEN (NEW.arrival = 'broken') EXECUTE FUNCTION waybill.free_idempotency_key();
  DROP POLICY relay ON waybill.idempotency;
  REVOKE ALL ON waybill.idempotency FROM waybill_worker, waybill_relay;
  REVOKE SELECT (run_id) ON waybill.idempotency FROM waybill_relay;
  REVOKE UPDATE, DELETE ON waybill.idempotency FROM waybill_api;
  GRANT UPDATE (request_digest) ON waybill.idempotency TO waybill_api;
`;

/** The relay stops schedules that cannot go on. Starting one again is for its owner, through the API. */
const schedules = /* sql */ `
  CREATE FUNCTION waybill.guard_schedule() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
    BEGIN
      RAISE 'Schedule % is not for the relay to change so.', OLD.id USING ERRCODE = 'insufficient_privilege';
    END $$;
  CREATE TRIGGER guard_schedule BEFORE UPDATE OF state, revision ON waybill.schedule FOR EACH ROW
    WHEN (current_user = 'waybill_relay' AND (NEW.revision < OLD.revision
      OR (NEW.state <> OLD.state AND NOT (OLD.state = 'active' AND NEW.state IN ('paused', 'blocked')))))
    EXECUTE FUNCTION waybill.guard_schedule();
`;
