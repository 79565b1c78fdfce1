import { forTenants, here } from './rowSecurity.ts';

/** What storing a batch writes beside its rows, and how far pipelines have read their sources. A window never changes. */
export const storing = /* sql */ `
  CREATE TABLE waybill.ledger (
    tenant text NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    counts jsonb NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, run_id, seq),
    CONSTRAINT ledger_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
  );

  CREATE TABLE waybill.dead_letter (
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL,
    run_id text COLLATE "C" NOT NULL,
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
    CHECK ((raw IS NULL) <> (object IS NULL)),
    CONSTRAINT dead_letter_of_run FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id)
  );
  CREATE INDEX dead_letter_by_run ON waybill.dead_letter (tenant, run_id, position);

  -- How often rows were written to a sink’s table for a tenant, so that a stale preview is noticed.
  CREATE TABLE waybill.sink_version (
    tenant text NOT NULL DEFAULT ${here},
    table_name text NOT NULL,
    version bigint NOT NULL,
    PRIMARY KEY (tenant, table_name)
  );

  CREATE TABLE waybill.watermark (
    tenant text NOT NULL DEFAULT ${here},
    pipeline text NOT NULL,
    -- Digest of the source, the cursor and the version of the definition: another one of these is another sequence.
    key text COLLATE "C" NOT NULL,
    source jsonb NOT NULL,
    mark jsonb NOT NULL,
    -- The run that moved it there.
    run_id text COLLATE "C" NOT NULL,
    moved_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
    PRIMARY KEY (tenant, pipeline, key)
  );

  CREATE TABLE waybill.source_window (
    tenant text NOT NULL DEFAULT ${here},
    run_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    extent jsonb NOT NULL,
    FOREIGN KEY (tenant, run_id) REFERENCES waybill.run (tenant, id),
    PRIMARY KEY (tenant, run_id)
  );

  ${['ledger', 'dead_letter', 'sink_version', 'watermark', 'source_window'].map((table) => forTenants(table)).join('\n')}
  GRANT SELECT, INSERT ON waybill.ledger, waybill.dead_letter, waybill.source_window TO waybill_worker;
  GRANT SELECT, INSERT, UPDATE ON waybill.sink_version TO waybill_worker;
  GRANT SELECT, INSERT, UPDATE (mark, run_id, moved_at) ON waybill.watermark TO waybill_worker;
  GRANT SELECT ON waybill.ledger, waybill.dead_letter, waybill.watermark, waybill.source_window TO waybill_api;
`;
