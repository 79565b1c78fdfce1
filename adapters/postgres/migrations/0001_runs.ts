import { type Kysely, sql } from 'kysely';

/**
 * Runs and everything that hangs on one. The migrator owns all of it; the API and the workers get exactly the
 * verbs that they need, so that append-only tables are append-only for them.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = /* sql */ `
    CREATE TABLE waybill.run (
      id text COLLATE "C" PRIMARY KEY,
      tenant text NOT NULL,
      pipeline text NOT NULL,
      version integer NOT NULL,
      definition_digest text NOT NULL,
      manifest jsonb NOT NULL,
      state text NOT NULL CHECK (state IN
        ('accepted', 'running', 'awaiting-approval', 'suspended', 'completed', 'failed', 'cancelled')),
      principal text NOT NULL,
      requested_by jsonb NOT NULL,
      parameters jsonb NOT NULL,
      source jsonb NOT NULL,
      callback jsonb,
      grant_jws text NOT NULL,
      txn text NOT NULL,
      arrival text NOT NULL CHECK (arrival IN ('open', 'sealed', 'broken')),
      touched_at timestamptz NOT NULL DEFAULT now(),
      counts jsonb,
      reason jsonb,
      cancel_requested_by text,
      created_at timestamptz NOT NULL DEFAULT now(),
      started_at timestamptz,
      ended_at timestamptz
    );
    CREATE INDEX run_by_tenant ON waybill.run (tenant, created_at DESC, id DESC);
    CREATE INDEX run_open ON waybill.run (created_at) WHERE ended_at IS NULL;

    CREATE TABLE waybill.batch (
      run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
      seq integer NOT NULL,
      digest text NOT NULL,
      size_bytes bigint NOT NULL,
      first_byte bigint NOT NULL,
      first_record bigint NOT NULL,
      first_line bigint NOT NULL,
      records bigint NOT NULL,
      header jsonb,
      refused text,
      arrived_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (run_id, seq)
    );

    CREATE TABLE waybill.stage (
      run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
      seq integer NOT NULL,
      stage text NOT NULL CHECK (stage IN ('validate', 'transform')),
      digest text NOT NULL,
      size_bytes bigint NOT NULL,
      rejected_digest text,
      counts jsonb NOT NULL,
      at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (run_id, seq, stage)
    );

    CREATE TABLE waybill.ledger (
      tenant text NOT NULL,
      run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
      seq integer NOT NULL,
      counts jsonb NOT NULL,
      stored_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant, run_id, seq)
    );

    CREATE TABLE waybill.dead_letter (
      id text COLLATE "C" PRIMARY KEY,
      tenant text NOT NULL,
      run_id text COLLATE "C" NOT NULL REFERENCES waybill.run,
      pipeline text NOT NULL,
      version integer NOT NULL,
      principal text NOT NULL,
      seq integer NOT NULL,
      position bigint NOT NULL,
      line bigint NOT NULL,
      byte_offset bigint NOT NULL,
      byte_length bigint NOT NULL,
      stage text NOT NULL,
      code text NOT NULL,
      path text NOT NULL,
      message text NOT NULL,
      raw bytea,
      object jsonb,
      state text NOT NULL DEFAULT 'open',
      created_at timestamptz NOT NULL DEFAULT now(),
      CHECK ((raw IS NULL) <> (object IS NULL))
    );
    CREATE INDEX dead_letter_by_run ON waybill.dead_letter (tenant, run_id, position);

    CREATE TABLE waybill.idempotency (
      tenant text NOT NULL,
      principal text NOT NULL,
      pipeline text NOT NULL,
      key text NOT NULL,
      run_id text NOT NULL,
      request_digest text,
      created_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant, principal, pipeline, key)
    );
    CREATE INDEX idempotency_by_run ON waybill.idempotency (run_id);

    CREATE TABLE waybill.outbox (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      kind text NOT NULL CHECK (kind IN ('start', 'cancel')),
      run_id text NOT NULL,
      attempts integer NOT NULL DEFAULT 0,
      due_at timestamptz NOT NULL DEFAULT now(),
      created_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX outbox_due ON waybill.outbox (due_at, id);

    CREATE TABLE waybill.audit_event (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      at timestamptz NOT NULL DEFAULT clock_timestamp(),
      tenant text,
      run_id text,
      txn text,
      action text NOT NULL,
      outcome text NOT NULL,
      actor jsonb,
      detail jsonb NOT NULL
    );
    CREATE INDEX audit_event_by_run ON waybill.audit_event (run_id, id);

    GRANT USAGE ON SCHEMA waybill TO waybill_api, waybill_worker;
    GRANT SELECT, INSERT ON waybill.audit_event, waybill.batch TO waybill_api, waybill_worker;
    GRANT SELECT, INSERT ON waybill.stage, waybill.ledger, waybill.dead_letter TO waybill_worker;
    GRANT SELECT ON waybill.stage, waybill.ledger, waybill.dead_letter TO waybill_api;
    GRANT SELECT, INSERT, UPDATE ON waybill.run TO waybill_api;
    GRANT SELECT, UPDATE (state, counts, reason, arrival, started_at, ended_at) ON waybill.run TO waybill_worker;
    GRANT SELECT, INSERT, UPDATE, DELETE ON waybill.idempotency TO waybill_api;
    GRANT SELECT, DELETE ON waybill.idempotency TO waybill_worker;
    GRANT SELECT, INSERT ON waybill.outbox TO waybill_api;
    GRANT SELECT, INSERT, UPDATE, DELETE ON waybill.outbox TO waybill_worker;
  `;
  await sql.raw(statements).execute(db);
}
