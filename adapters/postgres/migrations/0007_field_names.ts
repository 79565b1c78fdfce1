import { type Kysely, sql } from 'kysely';

/**
 * Outbox kinds and audit actions get the names of the glossary. Entries under way are renamed; events of the audit log
 * keep the name under which they were recorded.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statements of [outbox, audit]) await sql.raw(statements).execute(db);
}

const outbox = /* sql */ `
  ALTER TABLE waybill.outbox DROP CONSTRAINT outbox_kind_check;
  UPDATE waybill.outbox SET kind = CASE kind WHEN 'wake' THEN 'recheckAuthorization' ELSE 'replaceGrant' END
    WHERE kind IN ('wake', 'adopt');
  ALTER TABLE waybill.outbox ADD CONSTRAINT outbox_kind_check
    CHECK (kind IN ('start', 'cancel', 'recheckAuthorization', 'replaceGrant', 'decide'));

  DROP FUNCTION waybill.wake_suspended;
  -- For what concerns runs of all tenants, such as a key that counts again. Each run then asks whether it may go on.
  CREATE FUNCTION waybill.recheck_suspended(code text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
    BEGIN
      INSERT INTO waybill.outbox (tenant, kind, run_id)
        SELECT r.tenant, 'recheckAuthorization', r.id FROM waybill.run r
        WHERE r.state = 'suspended' AND r.reason ->> 'code' = recheck_suspended.code;
      PERFORM pg_notify('waybill_outbox', '');
    END $$;
  REVOKE ALL ON FUNCTION waybill.recheck_suspended FROM PUBLIC;
  GRANT EXECUTE ON FUNCTION waybill.recheck_suspended TO waybill_api;
`;

const audit = /* sql */ `
  ALTER POLICY of_workers ON waybill.audit_event WITH CHECK (action IN (
    'run.started', 'run.suspended', 'run.resumed', 'run.completed', 'run.failed', 'run.cancelled', 'run.terminated',
    'run.restarted', 'run.published', 'source.read', 'batch.validated', 'batch.transformed', 'batch.stored',
    'watermark.moved', 'approval.requested', 'approval.waived', 'approval.approved', 'approval.rejected',
    'approval.expired', 'approval.reminded', 'approval.escalated', 'approval.voided', 'approval.cancelled',
    'decision.counted', 'decision.denied', 'attempt.denied', 'workflow.reset', 'policy.loaded'));
  DROP TRIGGER guard_actor ON waybill.audit_event;
  CREATE TRIGGER guard_actor BEFORE INSERT ON waybill.audit_event
    FOR EACH ROW WHEN (current_user = 'waybill_worker' AND NEW.actor IS NOT NULL AND NEW.action <> 'attempt.denied')
    EXECUTE FUNCTION waybill.guard_actor();
`;
