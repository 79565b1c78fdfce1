import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { applySinks } from '../../../adapters/postgres/applySinks.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { things } from '../../support/sinkManifests.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

/** Relations with rows of no tenant, why, and what each role may do there. Every other relation must have a tenant. */
const ofNoTenant: Readonly<Record<string, { why: string; may: Readonly<Partial<Record<Role, string>>> }>> = {
  'waybill.kysely_migration': { why: 'which migrations have run, for the migrator alone', may: {} },
  'waybill.kysely_migration_lock': { why: 'that a migration is running, for the migrator alone', may: {} },
  'waybill.sink_shards': { why: 'over which databases tables are split, for the migrator alone', may: {} },
  'waybill.sink_partitioning': { why: 'which tables are split by time, for the migrator alone', may: {} },
  'waybill.retention': { why: 'how long pipelines keep what, for the migrator alone', may: {} },
  'waybill.deployment': {
    why: 'what was applied of the pipelines, which serve all tenants; the migrator writes it, the API reads it',
    may: { waybill_api: 'SELECT' },
  },
  'waybill.policy_set': {
    why: 'one policy decides for all tenants; the migrator writes it, API and workers read it',
    may: { waybill_api: 'SELECT', waybill_worker: 'SELECT' },
  },
  'waybill.revoked': {
    why: 'what was revoked, without actor and reason: every process may see the grant of any tenant',
    may: { waybill_api: 'SELECT', waybill_worker: 'SELECT' },
  },
  'waybill.grant_key': {
    why: 'public keys by which everybody’s grants are verified; the API publishes and rotates them',
    may: { waybill_api: 'SELECT INSERT UPDATE' },
  },
  'waybill.workload_assertion': {
    why: 'which proofs of workloads were used already; a workload serves all tenants',
    may: { waybill_api: 'SELECT INSERT DELETE' },
  },
  'waybill.object_sweep': {
    why: 'the key of the object at which the sweep of all tenants goes on; the store names a tenant by a hash',
    may: { waybill_relay: 'SELECT INSERT UPDATE' },
  },
  'waybill.logout_token': {
    why: 'digests of logout tokens that were seen; who signs out does so in every tenant',
    may: { waybill_api: 'SELECT INSERT DELETE' },
  },
};

/** Functions that see past it, for they run as the migrator, and why. */
const seeingAll: Readonly<Record<string, { why: string; calledBy: readonly string[] }>> = {
  'waybill.backlog()': {
    why: 'counts and ages of what waits, of all tenants together, for the metrics',
    calledBy: ['waybill_relay'],
  },
  'waybill.begin_sweep(text,text)': {
    why: 'removes what is kept no longer, by the retention that the migrator wrote and by the clock of the database',
    calledBy: ['waybill_relay'],
  },
  'waybill.count_dead_letters()': {
    why: 'a trigger: counts by state, code and path are what the letters are, whichever role changed them',
    calledBy: [],
  },
  'waybill.ensure_partitions(text,timestamp without time zone[])': {
    why: 'makes empty partitions of tables that the migrator split by time, on which no role has a right',
    calledBy: ['waybill_worker'],
  },
  'waybill.find_orphans(text[],text[])': {
    why: 'tells the sweep which objects no record names, and nothing of the records',
    calledBy: ['waybill_relay'],
  },
  'waybill.finish_sweep(text,text)': {
    why: 'the second half of the same',
    calledBy: ['waybill_relay'],
  },
  'waybill.free_idempotency_key()': {
    why: 'a trigger: the key of an upload that broke is free, whichever process noticed',
    calledBy: [],
  },
  'waybill.process_approval_timers(text)': {
    why: 'an approval of the session’s tenant is escalated or expires by the clock of the database alone',
    calledBy: ['waybill_worker'],
  },
  'waybill.recheck_suspended(text)': {
    why: 'a key that counts again concerns runs of all tenants; it wakes them, and tells nothing of them',
    calledBy: ['waybill_api'],
  },
  'waybill.release_upload()': {
    why: 'a trigger: what a run did not cut into batches is forgotten with its end, whichever process ends it',
    calledBy: [],
  },
  'waybill.return_dead_letters()': {
    why: 'a trigger: what a redrive did not settle is open again, however it ends',
    calledBy: [],
  },
  'waybill.take_tokens(text,double precision,double precision,double precision,double precision)': {
    why: 'takes from a bucket of the tenant of the session alone; no role may fill one',
    calledBy: ['waybill_api', 'waybill_worker'],
  },
};

const processes = ['waybill_api', 'waybill_worker'] as const;
const roles = [...processes, 'waybill_relay'] as const;
type Role = (typeof roles)[number];

const ours = 'acme';
const theirs = 'globex';

/** One row of each tenant in every table; a new table needs one here. */
const rowsOf = (tenant: string) => {
  const run = `things-of-${tenant}`;
  return `
    INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by,
                             parameters, source, grant_jws, txn, arrival)
      VALUES ('${run}', '${tenant}', 'things', 1, 'd', '{}', 'running', 'prn_1', '{}', '{}', '{}', 'grant', 't', 'sealed');
    INSERT INTO waybill.batch (tenant, run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records)
      VALUES ('${tenant}', '${run}', 0, 'd', 1, 0, 0, 1, 1);
    INSERT INTO waybill.stage (tenant, run_id, seq, stage, digest, size_bytes, counts)
      VALUES ('${tenant}', '${run}', 0, 'transform', 'd', 1, '{}');
    INSERT INTO waybill.quality_measure (tenant, run_id, seq, measures) VALUES ('${tenant}', '${run}', 0, '{}');
    INSERT INTO waybill.quality_result (tenant, run_id, pipeline, version, result)
      VALUES ('${tenant}', '${run}', 'things', 1, '{}');
    INSERT INTO waybill.ledger (tenant, run_id, seq, counts) VALUES ('${tenant}', '${run}', 0, '{}');
    INSERT INTO waybill.lookup (tenant, scope, key_digest, value, expires_at)
      VALUES ('${tenant}', 'definition d', 'k', '1', now());
    INSERT INTO waybill.ledger_slot (tenant, run_id, seq, slot) VALUES ('${tenant}', '${run}', 1, 0);
    INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                     byte_length, stage, code, path, message, raw)
      VALUES ('dl-${tenant}', '${tenant}', '${run}', 'things', 1, 'prn_1', 0, 0, 1, 0, 1, 'validate', 'c', '', 'm', 'x');
    INSERT INTO waybill.idempotency (tenant, principal, pipeline, key, run_id)
      VALUES ('${tenant}', 'prn_1', 'things', 'key', '${run}');
    INSERT INTO waybill.outbox (tenant, kind, run_id) VALUES ('${tenant}', 'start', '${run}');
    INSERT INTO waybill.delivery (id, tenant, run_id, type, data, url)
      VALUES ('dlv-${tenant}', '${tenant}', '${run}', 'run.completed', '{}', 'https://hooks.example/');
    INSERT INTO waybill.schedule (tenant, id, pipeline, definition, terms, declared, owner, state)
      VALUES ('${tenant}', 'daily-${tenant}', 'things', '{}', '{}', false, '{}', 'active');
    INSERT INTO waybill.delegation (id, tenant, schedule_id, owner, jws, given_at, expires_at)
      VALUES ('dlg-${tenant}', '${tenant}', 'daily-${tenant}', 'prn_1', 'jws', now(), now());
    INSERT INTO waybill.ended_delegation (tenant, delegation_id) VALUES ('${tenant}', 'dlg-${tenant}');
    INSERT INTO waybill.firing (tenant, schedule_id, nominal_at, outcome, run_id, workflow_id, first_run_id)
      VALUES ('${tenant}', 'daily-${tenant}', now(), 'fired', '${run}', 'w', 'r');
    INSERT INTO waybill.backfill (tenant, schedule_id, nominal_at, run_id)
      VALUES ('${tenant}', 'daily-${tenant}', now(), '${run}');
    INSERT INTO waybill.audit_event (tenant, action, outcome, detail) VALUES ('${tenant}', 'a', 'success', '{}');
    INSERT INTO waybill.revocation (id, kind, target, tenant) VALUES ('rev-${tenant}', 'grant', '${run}', '${tenant}');
    INSERT INTO waybill.approval (id, tenant, run_id, pipeline, gate, state, digest, shown, terms, by, expires_at)
      VALUES ('apr-${tenant}', '${tenant}', '${run}', 'things', 'publish', 'pending', 'd', '{}', '{}', '[]', now());
    INSERT INTO waybill.decision (id, tenant, approval_id, run_id, principal, by, vote, jws)
      VALUES ('dec-${tenant}', '${tenant}', 'apr-${tenant}', '${run}', 'prn_2', '{}', 'approve', 'jws');
    INSERT INTO waybill.sink_version (tenant, table_name, version) VALUES ('${tenant}', 'things', 1);
    INSERT INTO waybill.failed_attempt (tenant, run_id, step, code, message, attempt)
      VALUES ('${tenant}', '${run}', 'store', 'c', 'm', 1);
    INSERT INTO waybill.source_window (tenant, run_id, key, extent) VALUES ('${tenant}', '${run}', 'k', '{}');
    INSERT INTO waybill.watermark (tenant, pipeline, key, source, mark, run_id)
      VALUES ('${tenant}', 'things', 'k', '{}', '{}', '${run}');
    INSERT INTO waybill.upload (tenant, run_id, principal, expires_at) VALUES ('${tenant}', '${run}', 'prn_1', now());
    INSERT INTO waybill.tenant_limit (tenant, pipeline, name, max) VALUES ('${tenant}', '', 'schedules', 1);
    INSERT INTO waybill.rate_bucket (tenant, name, tokens, at) VALUES ('${tenant}', 'n', 1, now());
    INSERT INTO waybill.legal_hold (tenant, run_id, reason) VALUES ('${tenant}', '${run}', 'r');
    INSERT INTO waybill.principal (tenant, id, issuer, subject, kind)
      VALUES ('${tenant}', 'prn_1', 'https://issuer.test', 'alice', 'person');
    INSERT INTO public.things (_tenant, id, _run, _position, _order) VALUES ('${tenant}', 1, '${run}', 0, 1);`;
};

interface Relation {
  name: string;
  kind: string;
  columns: string[];
  /** The column with the tenant of a row. */
  tenant: string | undefined;
}

describe('row-level security', () => {
  let postgres: TestPostgres;
  let admin: pg.Client;
  let relations: Relation[];
  const clients = {} as Record<Role, pg.Client>;

  before(async () => {
    postgres = await startPostgresForTest();
    await applySinks(postgres.migratorUrl, [things]);
    admin = await connect(postgres.superuserUrl);
    await admin.query(rowsOf(ours));
    await admin.query(rowsOf(theirs));
    await admin.query(
      `INSERT INTO waybill.audit_event (action, outcome, detail) VALUES ('unplaced', 'denied', '{}')`,
    );
    const urls = [postgres.apiUrl, postgres.workerUrl, postgres.relayUrl];
    for (const [i, role] of roles.entries()) clients[role] = await connect(urls[i]!);
    const { rows } = await admin.query(
      `SELECT n.nspname || '.' || c.relname AS name, c.relkind AS kind,
              array_agg(a.attname::text ORDER BY a.attnum) AS columns
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = ''
       WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
       GROUP BY 1, 2 ORDER BY 1`,
    );
    relations = rows.map((row) => ({
      ...row,
      tenant: row.columns.find((name: string) => name === 'tenant' || name === '_tenant'),
    }));
  });
  after(async () => {
    await Promise.all([admin, ...Object.values(clients)].map((client) => client?.end()));
    await postgres?.stop();
  });

  async function connect(connectionString: string): Promise<pg.Client> {
    const client = new pg.Client({ connectionString });
    await client.connect();
    return client;
  }

  const ofTenants = () => relations.filter(({ name }) => !Object.hasOwn(ofNoTenant, name));

  /** What a statement brings for a role in a session of a tenant; nothing of it stays. */
  async function as(
    role: Role,
    tenant: string | undefined,
    text: string,
  ): Promise<pg.QueryResult | 'refused'> {
    const client = clients[role];
    await client.query('BEGIN');
    try {
      if (tenant !== undefined) await client.query(`SELECT set_config('waybill.tenant', $1, true)`, [tenant]);
      return await client.query(text);
    } catch (error) {
      assert.equal((error as pg.DatabaseError).code, '42501', `${role}: ${text}: ${error}`);
      return 'refused';
    } finally {
      await client.query('ROLLBACK');
    }
  }

  async function may(
    role: Role,
    verb: 'SELECT' | 'INSERT' | 'UPDATE',
    relation: Relation,
  ): Promise<string[]> {
    const { rows } = await admin.query(
      `SELECT array_agg(c) FILTER (WHERE has_column_privilege($1, $2::regclass, c, $3)) AS columns
       FROM unnest($4::text[]) c`,
      [role, relation.name, verb, relation.columns],
    );
    return rows[0].columns ?? [];
  }

  it('is looked at with rows of two tenants in every table that has a tenant', async () => {
    for (const { name, kind, tenant } of ofTenants()) {
      assert.equal(kind, 'r', `${name} is no table; a view, say, shows what its owner sees`);
      assert.ok(tenant, `${name} has no column with the tenant of a row`);
      const { rows } = await admin.query(
        `SELECT DISTINCT ${tenant} AS tenant FROM ${name} WHERE ${tenant} <> ''`,
      );
      assert.equal(rows.length, 2, `this test has no rows for ${name}`);
    }
    for (const name of Object.keys(ofNoTenant))
      assert.ok(
        relations.some((r) => r.name === name),
        name,
      );
  });

  it('shows nothing to a session that names no tenant, or took the name back', async () => {
    for (const role of processes) {
      for (const relation of ofTenants()) {
        for (const tenant of [undefined, '']) {
          const seen = await as(role, tenant, `SELECT count(*)::int AS n FROM ${relation.name}`);
          if (seen !== 'refused') assert.equal(seen.rows[0].n, 0, `${role} ${relation.name}`);
        }
      }
    }
  });

  it('shows a tenant its own rows, and all of them', async () => {
    for (const role of processes) {
      for (const relation of ofTenants()) {
        const column = relation.tenant!;
        const seen = await as(role, ours, `SELECT ${column} AS tenant FROM ${relation.name}`);
        assert.equal(seen === 'refused', (await may(role, 'SELECT', relation)).length === 0, relation.name);
        if (seen !== 'refused') assert.deepEqual(seen.rows, [{ tenant: ours }], `${role} ${relation.name}`);
      }
    }
  });

  it('lets no role write a row of another tenant, or move one there', async () => {
    let tried = 0;
    for (const role of processes) {
      for (const relation of ofTenants()) {
        const inserted = await may(role, 'INSERT', relation);
        const updated = await may(role, 'UPDATE', relation);
        if (inserted.length > 0) {
          tried += 1;
          // The other tenant’s own row, as an attacker who knows it would write it again.
          const { rows } = await admin.query(
            `SELECT ${inserted.map((c) => `quote_nullable(${c}) AS ${c}`).join(', ')} FROM ${relation.name}
             WHERE ${relation.tenant} = '${theirs}'`,
          );
          const values = inserted.map((c) => rows[0][c]).join(', ');
          const text = `INSERT INTO ${relation.name} (${inserted.join(', ')}) VALUES (${values})`;
          for (const tenant of [ours, undefined, ''])
            assert.equal(await as(role, tenant, text), 'refused', text);
        }
        if (updated.length > 0) {
          const touched = await as(role, ours, `UPDATE ${relation.name} SET ${updated[0]} = ${updated[0]}`);
          assert.equal(touched !== 'refused' && touched.rowCount, 1, `${role} ${relation.name}`);
          const moved = await as(role, ours, `UPDATE ${relation.name} SET ${relation.tenant} = '${theirs}'`);
          assert.equal(moved, 'refused', `${role} ${relation.name}`);
        }
        const deleted = await as(role, ours, `DELETE FROM ${relation.name}`);
        if (deleted !== 'refused') assert.equal(deleted.rowCount, 1, `${role} ${relation.name}`);
      }
    }
    assert.ok(tried >= 10, `${tried} inserts`);
  });

  it('lets nothing hang on another tenant’s run', async () => {
    await clients.waybill_worker.query('BEGIN');
    await clients.waybill_worker.query(`SET LOCAL waybill.tenant = '${ours}'`);
    const insert = `INSERT INTO waybill.batch (run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records)
                    VALUES ('things-of-${theirs}', 1, 'd', 1, 0, 0, 1, 1)`;
    await assert.rejects(clients.waybill_worker.query(insert), { code: '23503' });
    await clients.waybill_worker.query('ROLLBACK');
  });

  it('takes a refusal without a known tenant, and shows it to no tenant', async () => {
    for (const role of processes) {
      const insert = `INSERT INTO waybill.audit_event (action, outcome, detail) VALUES ('attempt.denied', 'denied', '{}')`;
      for (const tenant of [undefined, ours]) {
        const written = await as(role, tenant, insert);
        assert.equal(written !== 'refused' && written.rowCount, 1);
      }
    }
  });

  it('is not needed where rows belong to no tenant: there each role may do what is named here and no more', async () => {
    for (const relation of relations.filter(({ name }) => Object.hasOwn(ofNoTenant, name))) {
      for (const role of roles) {
        const { rows } = await admin.query(
          `SELECT coalesce(string_agg(verb, ' ' ORDER BY n), '') AS verbs
           FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) WITH ORDINALITY v (verb, n)
           WHERE CASE WHEN n < 4 THEN has_any_column_privilege($1, $2::regclass, verb)
                      ELSE has_table_privilege($1, $2::regclass, verb) END`,
          [role, relation.name],
        );
        assert.equal(rows[0].verbs, ofNoTenant[relation.name]!.may[role] ?? '', `${role} ${relation.name}`);
      }
    }
  });

  it('lets the relay look across tenants, at no more than it carries', async () => {
    for (const relation of ofTenants()) {
      const columns = await may('waybill_relay', 'SELECT', relation);
      const seen = await as('waybill_relay', undefined, `SELECT ${columns[0] ?? '1'} FROM ${relation.name}`);
      const its = [
        'waybill.run',
        'waybill.batch',
        'waybill.outbox',
        'waybill.delivery',
        'waybill.decision',
        'waybill.schedule',
        'waybill.delegation',
        'waybill.firing',
        'waybill.upload',
      ];
      assert.equal(
        seen === 'refused' ? 0 : seen.rowCount,
        its.includes(relation.name) ? 2 : 0,
        relation.name,
      );
    }
    assert.equal(await as('waybill_relay', undefined, 'SELECT parameters FROM waybill.run'), 'refused');
    assert.equal(await as('waybill_relay', undefined, `UPDATE waybill.run SET state = 'failed'`), 'refused');
    assert.equal(await as('waybill_relay', undefined, `UPDATE waybill.schedule SET terms = '{}'`), 'refused');
  });

  it('comes with an API that cannot bring back a consent that has ended', async () => {
    for (const undo of [
      'DELETE FROM waybill.ended_delegation',
      'UPDATE waybill.ended_delegation SET at = now()',
    ])
      assert.equal(await as('waybill_api', ours, undo), 'refused');
    for (const change of ['DELETE FROM waybill.delegation', `UPDATE waybill.delegation SET id = 'dlg-new'`])
      assert.equal(await as('waybill_api', ours, change), 'refused');
  });

  it('comes with a worker that reads no grant and no outbox', async () => {
    assert.equal(await as('waybill_worker', ours, 'SELECT grant_jws FROM waybill.run'), 'refused');
    assert.equal(await as('waybill_worker', ours, 'SELECT FROM waybill.outbox'), 'refused');
  });

  it('is passed by in named functions alone, each by those who need it', async () => {
    const { rows } = await admin.query(
      `SELECT p.oid::regprocedure::text AS name, array(
         SELECT r FROM unnest($1::text[]) r WHERE has_function_privilege(r, p.oid, 'EXECUTE') ORDER BY r) AS callers
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
       WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1`,
      [roles],
    );
    const named = Object.entries(seeingAll).map(([name, { calledBy }]) => ({ name, callers: [...calledBy] }));
    assert.deepEqual(rows, named);
  });

  it('cannot be got around', async () => {
    const ways = [
      'CREATE TABLE public.mine (id int)',
      'CREATE TABLE waybill.mine (id int)',
      'CREATE TEMP TABLE mine (id int)',
      'CREATE VIEW public.mine AS SELECT 1',
      'CREATE SCHEMA mine',
      'CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
      'CREATE ROLE mine',
      'CREATE POLICY mine ON waybill.run USING (true)',
      'DROP POLICY tenant ON waybill.run',
      'ALTER TABLE waybill.run DISABLE ROW LEVEL SECURITY',
      'ALTER TABLE public.things DISABLE ROW LEVEL SECURITY',
      'TRUNCATE waybill.audit_event',
      'UPDATE waybill.audit_event SET action = action',
      'DELETE FROM waybill.ledger',
      'DELETE FROM public.things',
      'SET ROLE waybill_migrator',
      'SET SESSION AUTHORIZATION postgres',
      'SET row_security = off; SELECT id FROM waybill.run',
      `COPY waybill.run (id) TO PROGRAM 'cat'`,
      'SELECT lo_create(0)',
      'SELECT lo_creat(-1)',
      `SELECT lo_from_bytea(0, '\\x00')`,
      'DELETE FROM waybill.idempotency',
      `INSERT INTO waybill.audit_event (id, action, outcome, detail) OVERRIDING SYSTEM VALUE
         VALUES (9000000, 'attempt.denied', 'denied', '{}')`,
      `INSERT INTO waybill.audit_event (at, action, outcome, detail)
         VALUES ('2020-01-01', 'attempt.denied', 'denied', '{}')`,
    ];
    for (const role of roles)
      for (const way of ways) {
        // Switched off, row-level security refuses what it would have filtered; the relay’s policies filter nothing.
        if (role === 'waybill_relay' && way.startsWith('SET row_security')) continue;
        // Of its own, within a transaction; what lies in it was seen already.
        if (role === 'waybill_worker' && way.startsWith('CREATE TEMP TABLE')) continue;
        assert.equal(await as(role, ours, way), 'refused', `${role}: ${way}`);
      }
  });

  it('cannot be changed by the roles that it limits: they own nothing and are members of nothing', async () => {
    const { rows } = await admin.query(
      `SELECT r.rolname AS role, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS mighty,
              (SELECT count(*)::int FROM pg_shdepend d WHERE d.refobjid = r.oid AND d.deptype = 'o'
                AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS owned,
              (SELECT count(*)::int FROM pg_auth_members m WHERE r.oid IN (m.member, m.roleid)) AS memberships
       FROM pg_roles r WHERE rolname = ANY($1) ORDER BY 1`,
      [roles],
    );
    assert.deepEqual(
      rows,
      [...roles].sort().map((role) => ({ role, mighty: false, owned: 0, memberships: 0 })),
    );
  });

  describe('of a sink table', () => {
    const manifests = [things];

    it('is restored where it was dropped or altered', async () => {
      for (const harm of [
        'ALTER TABLE public.things DISABLE ROW LEVEL SECURITY',
        'DROP POLICY waybill_tenant ON public.things',
        'ALTER POLICY waybill_tenant ON public.things USING (true)',
        'ALTER POLICY waybill_tenant ON public.things WITH CHECK (true)',
        'ALTER POLICY waybill_tenant ON public.things TO PUBLIC',
      ]) {
        await admin.query(harm);
        await applySinks(postgres.migratorUrl, manifests);
        const { rows } = await admin.query(
          `SELECT relrowsecurity AS enabled, pg_get_expr(polqual, c.oid) AS rows, polwithcheck IS NULL AS same, polroles::regrole[]::text AS roles
           FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid WHERE c.oid = 'public.things'::regclass`,
        );
        const expected = `(_tenant = NULLIF(current_setting('waybill.tenant'::text, true), ''::text))`;
        assert.deepEqual(
          rows,
          [{ enabled: true, rows: expected, same: true, roles: '{waybill_worker}' }],
          harm,
        );
      }
    });

    it('needs no lock where it is in place, so that it never waits for readers', {
      timeout: 20_000,
    }, async () => {
      await admin.query('BEGIN; LOCK TABLE public.things IN ACCESS SHARE MODE');
      await applySinks(postgres.migratorUrl, manifests);
      await admin.query('ROLLBACK');
    });

    it('opens for other readers as docs/operations.md says', async () => {
      const [, documented] = /```sql\n(CREATE POLICY[\s\S]*?)```/.exec(
        readFileSync('docs/operations.md', 'utf8'),
      )!;
      const suffix = randomBytes(4).toString('hex');
      // Roles belong to the whole server, which other tests may be using.
      const text = documented!
        .replaceAll('public.orders', 'public.things')
        .replaceAll(/\b(reports|bi)\b/g, `$1_${suffix}`);
      const readers = [`reports_${suffix}`, `bi_${suffix}`];
      for (const reader of readers) {
        await admin.query(`CREATE ROLE ${reader}; GRANT SELECT ON public.things TO ${reader}`);
      }
      const seenBy = async (reader: string, tenant?: string) => {
        await admin.query(`BEGIN; SET LOCAL ROLE ${reader}`);
        if (tenant) await admin.query(`SET LOCAL waybill.tenant = '${tenant}'`);
        const { rows } = await admin.query('SELECT _tenant FROM public.things');
        await admin.query('ROLLBACK');
        return rows.map((row) => row._tenant);
      };
      for (const reader of readers) assert.deepEqual(await seenBy(reader, ours), []);
      await admin.query(text);
      await applySinks(postgres.migratorUrl, manifests);
      assert.deepEqual(await seenBy(readers[0]!), [ours]);
      assert.deepEqual(await seenBy(readers[0]!, theirs), [ours]);
      assert.deepEqual(await seenBy(readers[1]!), []);
      assert.deepEqual(await seenBy(readers[1]!, theirs), [theirs]);
      for (const reader of readers) await admin.query(`DROP OWNED BY ${reader}; DROP ROLE ${reader}`);
    });
  });

  describe('as processes use it', () => {
    it('follows each query on whatever connection it gets', async () => {
      const tenants = tenantsOf(connectPool(postgres.workerUrl, { connectionsMax: 2, name: 'test' }));
      const seen = async (tenant: string | null) =>
        (await tenants.for(tenant).query('SELECT tenant FROM waybill.run')).rows.map((row) => row.tenant);
      const order = Array.from({ length: 60 }, (_, i) => [ours, theirs, null][(i * 7 + (i >> 2)) % 3]!);
      const answers = await Promise.all(order.map(seen));
      assert.deepEqual(
        answers,
        order.map((tenant) => (tenant ? [tenant] : [])),
      );
      await tenants.end();
    });

    it('ends with the transaction that named a tenant and a subject', async () => {
      const tenants = tenantsOf(connectPool(postgres.workerUrl, { connectionsMax: 1, name: 'test' }));
      const settings = `SELECT current_setting('waybill.tenant', true) AS tenant,
                               current_setting('waybill.subject', true) AS subject`;
      await tenants.for(ours).query('SELECT 1');
      const within = await tenants
        .for(`o'${theirs}\\`, 'prn_2')
        .transaction((client) => client.query(settings));
      assert.deepEqual(within.rows, [{ tenant: `o'${theirs}\\`, subject: 'prn_2' }]);
      const afterwards = await tenants.for(ours).query(settings);
      assert.deepEqual(afterwards.rows, [{ tenant: ours, subject: '' }]);
      await assert.rejects(
        tenants.for(theirs).transaction(async (client) => {
          await client.query(`SELECT set_config('waybill.tenant', 'x', false)`);
          throw new Error('the transaction is given up');
        }),
      );
      assert.deepEqual((await tenants.for(ours).query(settings)).rows[0].tenant, ours);
      await tenants.end();
    });
  });
});
