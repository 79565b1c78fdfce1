import type { ClientBase } from 'pg';
import { errors, WaybillError } from '../../../domain/errors.ts';
import type {
  Acceptance,
  AcceptedFiring,
  IdempotencyScope,
  KnownKey,
  RunAcceptance,
} from '../../../domain/ports/acceptance.ts';
import type { Batch } from '../../../domain/runs/batch.ts';
import { type Run, zeroCounts } from '../../../domain/runs/run.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { auditParams, auditSql, insertAudit } from '../audit.ts';
import { claimLetters, discardRetried } from '../deadLetters/changeLetters.ts';
import { acceptingLocks } from '../ledger/storeTurn.ts';
import { enforceLimit, type LimitsInDatabase } from '../limits.ts';
import { credentialParams, isRevokedSql } from '../rights/revokedSql.ts';
import type { Tenants } from '../tenants.ts';
import { runColumns, runFromRow } from './runs.ts';

/** How often a key may turn out to be taken and then free again before we give up. */
const attemptsMax = 3;

/** @param limits tells which acceptances have to count the runs in flight */
export function createRunAcceptance(
  tenants: Tenants,
  limits: Pick<LimitsInDatabase, 'mustCount'>,
): RunAcceptance {
  return {
    findKey: (scope) => findKey(tenants, scope),
    accept: (acceptance) => acceptRun(tenants, limits, acceptance),
    acceptFiring: (acceptance, firing) => acceptFiring(tenants, limits, acceptance, firing),
    recordFailed: (acceptance, code) => recordFailedRun(tenants, acceptance, code),
  };
}

/**
 * Two acceptances with one key meet at the primary key of `waybill.idempotency`: the later one waits for the
 * earlier one’s commit, inserts nothing, and learns what stands.
 */
async function acceptRun(
  tenants: Tenants,
  limits: Pick<LimitsInDatabase, 'mustCount'>,
  acceptance: Acceptance,
): ReturnType<RunAcceptance['accept']> {
  const { tenant, requestedBy, manifest } = acceptance;
  const mustCount = await limits.mustCount(tenant, manifest.id);
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const run = await tenants.for(tenant, requestedBy.id).transaction(async (client) => {
      const accepted = await insertRun(client, acceptance);
      if (accepted && mustCount) await enforceLimit(client, tenant, 'runsInFlight', manifest.id);
      if (accepted && acceptance.letters)
        await claimLetters(client, acceptance, acceptance.letters, acceptance.audit);
      if (accepted && acceptance.retried) await discardRetried(client, acceptance, acceptance.retried);
      return accepted;
    });
    if (run) return { outcome: 'accepted', run };
    const known = acceptance.idempotency && (await findKey(tenants, acceptance.idempotency));
    if (known) return { outcome: 'known', known };
    if (acceptance.schedule) throw new WaybillError('ScheduleChanged');
  }
  throw new WaybillError('IdempotencyKeyInUse', { detail: 'the key was taken and freed again and again' });
}

/** `undefined` where the time has had its firing, or the schedule has changed since it was looked at. */
async function acceptFiring(
  tenants: Tenants,
  limits: Pick<LimitsInDatabase, 'mustCount'>,
  acceptance: Acceptance,
  firing: AcceptedFiring,
): Promise<Run | undefined> {
  const { tenant, requestedBy, manifest } = acceptance;
  const mustCount = await limits.mustCount(tenant, manifest.id);
  return tenants.for(tenant, requestedBy.id).transaction(async (client) => {
    const accepted = await insertRun(client, acceptance, firing);
    if (accepted && mustCount) await enforceLimit(client, tenant, 'runsInFlight', manifest.id);
    return accepted;
  });
}

/**
 * Run, key or firing, batches, outbox entry and audit event in one statement, to save round trips; `undefined` where the key or the time is
 * taken. A firing starts its run itself, so nothing goes to the outbox. What was revoked is asked once more here: the grant
 * is younger than a logout that this process has not heard of, and would escape it.
 */
async function insertRun(
  client: ClientBase,
  a: Acceptance,
  firing?: AcceptedFiring,
): Promise<Run | undefined> {
  const of = firing ? { id: firing.schedule, revision: firing.revision } : a.schedule;
  const { rows } = await client.query(
    sql(
      `WITH authorized AS MATERIALIZED (
         -- Before the run gets its place in the order; stores wait for it (storeTurn.ts).
         SELECT (SELECT count(pg_advisory_xact_lock_shared(lock)) FROM unnest(:accepting::bigint[]) lock)
         WHERE NOT ${isRevokedSql}
       ), scheduled AS (
         SELECT FROM waybill.schedule s
         WHERE s.tenant = :tenant AND s.id = :schedule::text AND s.revision = :revision::bigint
           AND (:nominalAt::timestamptz IS NULL OR s.state = 'active') FOR SHARE
       ), claimed AS (
         INSERT INTO waybill.idempotency (tenant, principal, pipeline, key, run_id, request_digest)
         SELECT :tenant, :principal, :pipeline, :key, :id, :requestDigest FROM authorized
         WHERE :key::text IS NOT NULL AND (:schedule::text IS NULL OR EXISTS (SELECT FROM scheduled))
         ON CONFLICT DO NOTHING RETURNING 1
       ), fired AS (
         INSERT INTO waybill.firing (tenant, schedule_id, nominal_at, outcome, run_id, workflow_id, first_run_id)
         SELECT :tenant, :schedule, :nominalAt::timestamptz, 'fired', :id, :workflowId, :firstRunId
         FROM authorized, scheduled WHERE :nominalAt::timestamptz IS NOT NULL
         ON CONFLICT DO NOTHING RETURNING 1
       ), r AS (
         INSERT INTO waybill.run (${recordColumns})
         SELECT ${recordValues} FROM authorized
         WHERE (:key::text IS NULL OR EXISTS (SELECT FROM claimed))
           AND (:schedule::text IS NULL OR EXISTS (SELECT FROM scheduled))
           AND (:nominalAt::timestamptz IS NULL OR EXISTS (SELECT FROM fired))
         RETURNING *, NULL::jsonb AS live
       ), arrived AS (
         INSERT INTO waybill.batch
           (run_id, seq, digest, size_bytes, first_byte, first_record, first_line, row_group, records, header, refused, bytes)
         SELECT r.id, b."seq", b."digest", b."sizeBytes", b."firstByte", b."firstRecord", b."firstLine", b."rowGroup",
                b."records", b."header", b."refused", decode(b."bytes", 'base64')
         FROM r, jsonb_to_recordset(:batches) AS b("seq" integer, "digest" text, "sizeBytes" bigint, "firstByte" bigint,
           "firstRecord" bigint, "firstLine" bigint, "rowGroup" integer, "records" bigint, "header" jsonb, "refused" text, "bytes" text)
       ), awaited AS (
         INSERT INTO waybill.upload (run_id, principal, expires_at)
         SELECT r.id, :principal, :expiresAt::timestamptz FROM r WHERE :expiresAt::timestamptz IS NOT NULL
       ), due AS (
         INSERT INTO waybill.outbox (kind, run_id, backfill) SELECT 'start', r.id, :backfill FROM r
         WHERE :nominalAt::timestamptz IS NULL AND :expiresAt::timestamptz IS NULL
       ), audited AS (${auditSql('r')})
       SELECT EXISTS (SELECT FROM authorized) AS authorized, ${runColumns}, pg_notify('waybill_outbox', '')
       FROM (SELECT) once LEFT JOIN r ON true`,
      {
        ...recordOf(a, 'accepted', a.sealed ? 'sealed' : 'open'),
        accepting: acceptingLocks(a.tenant, a.manifest.sink),
        key: a.idempotency?.key ?? null,
        requestDigest: a.requestDigest ?? null,
        batches: JSON.stringify(a.batches.map(withBytesAsText)),
        ...credentialParams(a.credential),
        expiresAt: a.input?.expiresAt ?? null,
        backfill: a.backfill ?? false,
        schedule: of?.id ?? null,
        revision: of?.revision ?? null,
        nominalAt: firing?.nominalAt ?? null,
        workflowId: firing?.execution.workflowId ?? null,
        firstRunId: firing?.execution.firstRunId ?? null,
        ...auditParams(a.audit),
      },
      'accept-run',
    ),
  );
  if (!rows[0].authorized) throw new WaybillError('PrincipalRevoked');
  return rows[0].id === null ? undefined : runFromRow(rows[0]);
}

function withBytesAsText({ bytes, ...batch }: Batch) {
  return { ...batch, ...(bytes && { bytes: Buffer.from(bytes).toString('base64') }) };
}

const recordColumns = `id, tenant, pipeline, version, definition_digest, manifest, state, principal, requested_by, parameters,
  source, callback, grant_jws, txn, arrival`;

const recordValues = `:id, :tenant, :pipeline, :version, :definitionDigest, :manifest, :state, :principal, :requestedBy,
  :parameters, :source, :callback, :grant, :txn, :arrival`;

function recordOf(a: Acceptance, state: 'accepted' | 'failed', arrival: 'open' | 'sealed' | 'broken') {
  return {
    id: a.runId,
    tenant: a.tenant,
    pipeline: a.manifest.id,
    version: a.manifest.version,
    definitionDigest: a.definitionDigest,
    manifest: jsonParam(a.manifest),
    state,
    principal: a.requestedBy.id,
    requestedBy: jsonParam(a.requestedBy),
    parameters: jsonParam(a.parameters ?? {}),
    source: jsonParam(a.source),
    callback: jsonParam(a.callback),
    grant: a.grant,
    txn: a.txn,
    arrival,
  };
}

/** Nothing is to be started, so nothing goes to the outbox, and the key stays free for the next attempt. */
async function recordFailedRun(tenants: Tenants, a: Acceptance, code: 'UploadIncomplete'): Promise<Run> {
  return tenants.for(a.tenant, a.requestedBy.id).transaction(async (client) => {
    const { rows } = await client.query(
      sql(
        `WITH r AS (
           INSERT INTO waybill.run (${recordColumns}, counts, reason, ended_at)
           VALUES (${recordValues}, :counts, :reason, now()) RETURNING *, NULL::jsonb AS live
         ) SELECT ${runColumns} FROM r`,
        {
          ...recordOf(a, 'failed', 'broken'),
          counts: jsonParam(zeroCounts),
          reason: jsonParam({ code, message: errors[code].message }),
        },
      ),
    );
    await insertAudit(client, a.audit);
    return runFromRow(rows[0]);
  });
}

async function findKey(tenants: Tenants, scope: IdempotencyScope): Promise<KnownKey | undefined> {
  const { tenant, principal, pipeline, key } = scope;
  const { rows } = await tenants.for(tenant).query(
    sql(
      `SELECT k.request_digest, ${runColumns}
       FROM waybill.idempotency k JOIN (SELECT *, NULL::jsonb AS live FROM waybill.run) r ON r.id = k.run_id
       WHERE k.tenant = :tenant AND k.principal = :principal AND k.pipeline = :pipeline AND k.key = :key`,
      { tenant, principal, pipeline, key },
      'find-key',
    ),
  );
  const row = rows[0];
  if (!row) return undefined;
  if (row.request_digest === null) return { state: 'receiving', runId: row.id };
  return { state: 'settled', run: runFromRow(row), requestDigest: row.request_digest };
}
