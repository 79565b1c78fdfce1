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
import { insertAudit } from '../audit.ts';
import { voided, voidedValues } from '../rights/revokedSql.ts';
import type { Tenants } from '../tenants.ts';
import { runColumns, runFromRow } from './runs.ts';

/** How often a key may turn out to be taken and then free again before we give up. */
const attemptsMax = 3;

export function createRunAcceptance(tenants: Tenants): RunAcceptance {
  return {
    findKey: (scope) => findKey(tenants, scope),
    accept: (acceptance) => acceptRun(tenants, acceptance),
    acceptFiring: (acceptance, firing) => acceptFiring(tenants, acceptance, firing),
    recordFailed: (acceptance, code) => recordFailedRun(tenants, acceptance, code),
  };
}

/**
 * Two acceptances with one key meet at the primary key of `waybill.idempotency`: the later one waits for the
 * earlier one’s commit, inserts nothing, and learns what stands.
 */
async function acceptRun(tenants: Tenants, acceptance: Acceptance): ReturnType<RunAcceptance['accept']> {
  const { tenant, requestedBy } = acceptance;
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const run = await tenants.for(tenant, requestedBy.id).transaction(async (client) => {
      const accepted = await insertRun(client, acceptance);
      if (accepted) await insertAudit(client, acceptance.audit);
      return accepted;
    });
    if (run) return { outcome: 'accepted', run };
    const known = await findKey(tenants, acceptance.idempotency!);
    if (known) return { outcome: 'known', known };
  }
  throw new WaybillError('IdempotencyKeyInUse', { detail: 'the key was taken and freed again and again' });
}

/** `undefined` where the time has had its firing, or the schedule has changed since it was looked at. */
async function acceptFiring(
  tenants: Tenants,
  acceptance: Acceptance,
  firing: AcceptedFiring,
): Promise<Run | undefined> {
  const { tenant, requestedBy } = acceptance;
  return tenants.for(tenant, requestedBy.id).transaction(async (client) => {
    const accepted = await insertRun(client, acceptance, firing);
    if (accepted) await insertAudit(client, acceptance.audit);
    return accepted;
  });
}

/**
 * Run, key or firing, batches and outbox entry in one statement, to save round trips; `undefined` where the key or the time is
 * taken. A firing starts its run itself, so nothing goes to the outbox. What was revoked is asked once more here: the grant
 * is younger than a logout that this process has not heard of, and would escape it.
 */
async function insertRun(
  client: ClientBase,
  a: Acceptance,
  firing?: AcceptedFiring,
): Promise<Run | undefined> {
  const { rows } = await client.query({
    name: 'accept-run',
    text: `
      WITH admitted AS (
        SELECT WHERE NOT ${voided(19)}
      ), claimed AS (
        INSERT INTO waybill.idempotency (tenant, principal, pipeline, key, run_id, request_digest)
        SELECT $2, $8, $3, $16, $1, $17 FROM admitted WHERE $16::text IS NOT NULL
        ON CONFLICT DO NOTHING RETURNING 1
      ), scheduled AS (
        SELECT FROM waybill.schedule s
        WHERE s.tenant = $2 AND s.id = $25::text AND s.revision = $29::bigint AND s.state = 'active' FOR SHARE
      ), fired AS (
        INSERT INTO waybill.firing (tenant, schedule_id, nominal_at, outcome, run_id, workflow_id, first_run_id)
        SELECT $2, $25, $26::timestamptz, 'fired', $1, $27, $28 FROM admitted, scheduled
        ON CONFLICT DO NOTHING RETURNING 1
      ), r AS (
        INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
          requested_by, parameters, source, callback, grant_jws, txn, arrival)
        SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM admitted
        WHERE ($16::text IS NULL OR EXISTS (SELECT FROM claimed))
          AND ($25::text IS NULL OR EXISTS (SELECT FROM fired))
        RETURNING *, NULL::jsonb AS live
      ), arrived AS (
        INSERT INTO waybill.batch
          (run_id, seq, digest, size_bytes, first_byte, first_record, first_line, records, header, refused)
        SELECT r.id, b."seq", b."digest", b."sizeBytes", b."firstByte", b."firstRecord", b."firstLine",
               b."records", b."header", b."refused"
        FROM r, jsonb_to_recordset($18) AS b("seq" integer, "digest" text, "sizeBytes" bigint, "firstByte" bigint,
          "firstRecord" bigint, "firstLine" bigint, "records" bigint, "header" jsonb, "refused" text)
      ), due AS (
        INSERT INTO waybill.outbox (kind, run_id) SELECT 'start', r.id FROM r WHERE $25::text IS NULL
      )
      SELECT EXISTS (SELECT FROM admitted) AS admitted, ${runColumns}, pg_notify('waybill_outbox', '')
      FROM (SELECT) once LEFT JOIN r ON true`,
    values: [
      ...recordOf(a, 'accepted'),
      a.sealed ? 'sealed' : 'open',
      a.idempotency?.key ?? null,
      a.requestDigest ?? null,
      JSON.stringify(a.batches satisfies readonly Batch[]),
      ...voidedValues(a.credential),
      firing?.schedule ?? null,
      firing?.nominalAt ?? null,
      firing?.execution.workflowId ?? null,
      firing?.execution.firstRunId ?? null,
      firing?.revision ?? null,
    ],
  });
  if (!rows[0].admitted) throw new WaybillError('PrincipalRevoked');
  return rows[0].id === null ? undefined : runFromRow(rows[0]);
}

/** The columns of a run from `id` to `txn`. */
function recordOf(a: Acceptance, state: 'accepted' | 'failed'): unknown[] {
  return [
    a.runId,
    a.tenant,
    a.manifest.id,
    a.manifest.version,
    a.definitionDigest,
    JSON.stringify(a.manifest),
    state,
    a.requestedBy.id,
    JSON.stringify(a.requestedBy),
    JSON.stringify(a.parameters ?? {}),
    JSON.stringify(a.source),
    a.callback && JSON.stringify(a.callback),
    a.grant,
    a.txn,
  ];
}

/** Nothing is to be started, so nothing goes to the outbox, and the key stays free for the next attempt. */
async function recordFailedRun(tenants: Tenants, a: Acceptance, code: 'UploadIncomplete'): Promise<Run> {
  return tenants.for(a.tenant, a.requestedBy.id).transaction(async (client) => {
    const { rows } = await client.query({
      text: `
        WITH r AS (
          INSERT INTO waybill.run (id, tenant, pipeline, version, definition_digest, manifest, state, principal,
            requested_by, parameters, source, callback, grant_jws, txn, arrival, counts, reason, ended_at)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'broken', $15, $16, now())
          RETURNING *, NULL::jsonb AS live
        ) SELECT ${runColumns} FROM r`,
      values: [
        ...recordOf(a, 'failed'),
        JSON.stringify(zeroCounts),
        JSON.stringify({ code, message: errors[code].message }),
      ],
    });
    await insertAudit(client, a.audit);
    return runFromRow(rows[0]);
  });
}

async function findKey(tenants: Tenants, scope: IdempotencyScope): Promise<KnownKey | undefined> {
  const { rows } = await tenants.for(scope.tenant).query({
    name: 'find-key',
    text: `
      SELECT k.request_digest, ${runColumns}
      FROM waybill.idempotency k JOIN (SELECT *, NULL::jsonb AS live FROM waybill.run) r ON r.id = k.run_id
      WHERE k.tenant = $1 AND k.principal = $2 AND k.pipeline = $3 AND k.key = $4`,
    values: [scope.tenant, scope.principal, scope.pipeline, scope.key],
  });
  const row = rows[0];
  if (!row) return undefined;
  if (row.request_digest === null) return { state: 'receiving', runId: row.id };
  return { state: 'settled', run: runFromRow(row), requestDigest: row.request_digest };
}
