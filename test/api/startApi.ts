import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { uuidv7 } from 'uuidv7';
import { createGrantKeys } from '../../adapters/keys/grantKeys.ts';
import { createGrantVerifier } from '../../adapters/keys/grantVerifier.ts';
import { openKeyFolder } from '../../adapters/keys/keyFolder.ts';
import { openKeyRoots } from '../../adapters/keys/keyRoots.ts';
import { openWorkloads } from '../../adapters/keys/workloads.ts';
import { openFileObjectStore } from '../../adapters/objects/fileObjectStore.ts';
import { schedulerOf } from '../../adapters/oidc/callerOf.ts';
import { onlyIssuer } from '../../adapters/oidc/trustedIssuers.ts';
import { createAuthenticator, withKeys } from '../../adapters/oidc/verifyAccessToken.ts';
import { createLogoutTokens } from '../../adapters/oidc/verifyLogoutToken.ts';
import { createPolicyEngine } from '../../adapters/policy/engine.ts';
import { readPolicies } from '../../adapters/policy/readPolicies.ts';
import { createApprovals } from '../../adapters/postgres/approvals/approvals.ts';
import { createAuditLog, createAuditTrail } from '../../adapters/postgres/audit.ts';
import { createRunInputs } from '../../adapters/postgres/batches/runInputs.ts';
import { createUploads } from '../../adapters/postgres/batches/uploads.ts';
import { connectPool } from '../../adapters/postgres/connect.ts';
import { createDeadLetters } from '../../adapters/postgres/deadLetters/deadLetters.ts';
import { createDeliveries } from '../../adapters/postgres/deliveries/deliveries.ts';
import { createDeployments } from '../../adapters/postgres/deployments.ts';
import { createLimitedRates } from '../../adapters/postgres/limitedRates.ts';
import { createLimits, createStandingLimits } from '../../adapters/postgres/limits.ts';
import { createPrincipalDirectory } from '../../adapters/postgres/principalDirectory.ts';
import { createQualityResults } from '../../adapters/postgres/quality.ts';
import { spendAssertion } from '../../adapters/postgres/rights/assertions.ts';
import { watchRevocations } from '../../adapters/postgres/rights/liveRevocations.ts';
import { createLogoutRecords } from '../../adapters/postgres/rights/logouts.ts';
import { createRevocationRecords } from '../../adapters/postgres/rights/revocations.ts';
import { createRunAcceptance } from '../../adapters/postgres/runs/acceptance.ts';
import { createRuns } from '../../adapters/postgres/runs/apiRuns.ts';
import { createLegalHolds } from '../../adapters/postgres/runs/legalHolds.ts';
import { createFirings } from '../../adapters/postgres/schedules/firings.ts';
import { createSchedules } from '../../adapters/postgres/schedules/schedules.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import { createCallbackCheck } from '../../adapters/webhooks/checkCallback.ts';
import { ensureRoot } from '../../adapters/webhooks/rootFolder.ts';
import { openWebhookKeys } from '../../adapters/webhooks/webhookKeys.ts';
import type { ApiPorts } from '../../api/ports.ts';
import { backlog, buildServer } from '../../api/server.ts';
import { createInputs } from '../../connectors/sources/createSources.ts';
import type { ApprovalState, ApprovalSubject } from '../../domain/approvals/approval.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { WaybillError } from '../../domain/errors.ts';
import { createAuthorizer } from '../../domain/grants/authorizer.ts';
import type { Policy } from '../../domain/policies/policy.ts';
import type { TemporalSchedules } from '../../domain/ports/temporalSchedules.ts';
import { ofKey } from '../../domain/revocation.ts';
import { zeroCounts } from '../../domain/runs/run.ts';
import { DelegationClaims, delegationType } from '../../domain/schedules/delegation.ts';
import { readLetterValue } from '../../engine/records/letterRecords.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { createComputePool } from '../../engine/threads/pool.ts';
import { makeKey } from '../support/keys.ts';
import { startPostgresForTest, type TestPostgres } from '../support/stack.ts';
import { layCable } from './cable.ts';
import { startIssuer } from './issuer.ts';
import { definitions } from './pipelines.ts';

/** The API over real PostgreSQL, real objects and a real issuer, on a port of its own. */
export async function startApi({
  change = () => ({}),
  answerWithinMs = 20_000,
  database: given = startPostgresForTest(),
}: {
  change?: (ports: ApiPorts) => Partial<ApiPorts>;
  answerWithinMs?: number;
  /** One that something was done to before. It is stopped with the rest. */
  database?: TestPostgres | Promise<TestPostgres>;
} = {}) {
  const [postgres, issuer] = await Promise.all([given, startIssuer()]);
  const folder = await mkdtemp(join(tmpdir(), 'waybill-api-'));
  const roots = join(folder, 'roots');
  await mkdir(roots);
  const keysFolder = join(folder, 'keys');

  const webhookKeys = join(folder, 'webhooks');
  await ensureRoot(webhookKeys, Math.floor(Date.now() / 1000));
  const cable = await layCable(new URL(postgres.apiUrl));
  const tenants = tenantsOf(connectPool(cable.url, { connectionsMax: 10, name: 'test-api', answerWithinMs }));
  const runs = createRuns(tenants, cable.url);
  const revocations = watchRevocations({ database: cable.url, onError: () => {} });
  await revocations.ready;
  const objects = await openFileObjectStore(join(folder, 'objects'));
  const grantKeys = createGrantKeys({
    tenants,
    database: cable.url,
    folder: await openKeyFolder(keysFolder),
    roots: openKeyRoots(`${keysFolder}.roots`),
    isRevoked: (key) => revocations.find(ofKey(key)) !== undefined,
    onError: () => {},
  });
  const issuers = withKeys(onlyIssuer(issuer.url, 'waybill'));
  const policy = createPolicyEngine(await readPolicies());
  const workload = await makeKey();
  const workloadsFile = join(folder, 'workloads.json');
  await writeFile(workloadsFile, JSON.stringify({ worker: { keys: [workload.jwk] } }));
  const compute = createComputePool({ objects });
  const limitsOf = createStandingLimits(tenants);
  const limits = createLimits(tenants, limitsOf);
  const ports: ApiPorts = {
    acceptance: createRunAcceptance(tenants, limits),
    uploads: createUploads(tenants),
    runInputs: createRunInputs(tenants),
    runs,
    deadLetters: createDeadLetters(tenants),
    quality: createQualityResults(tenants),
    compute,
    readLetter: readLetterValue,
    legalHolds: createLegalHolds(tenants),
    auditTrail: createAuditTrail(tenants),
    checkDatabase: tenants.check,
    waitingQueries: tenants.waiting,
    auditLog: createAuditLog(tenants),
    authenticator: createAuthenticator(issuers),
    principalDirectory: createPrincipalDirectory(tenants),
    policy,
    revocations,
    revocationRecords: createRevocationRecords(tenants),
    logoutTokens: createLogoutTokens(issuers),
    logoutRecords: createLogoutRecords(tenants),
    definitions,
    deployments: createDeployments(tenants),
    grantSigner: grantKeys,
    grantKeys,
    grantVerifier: createGrantVerifier({ keys: grantKeys, issuer: 'urn:waybill:test' }),
    authorizer: createAuthorizer({ definitions, revocations, policy, refresh: revocations.refresh }),
    workloads: await openWorkloads({
      file: workloadsFile,
      audience: 'urn:waybill:test',
      spend: (assertion) => spendAssertion(tenants, assertion),
    }),
    objects,
    receiver: createReceiver(objects),
    inputs: createInputs({ fileRoots: [roots], egressAllow: [] }),
    checkCallback: createCallbackCheck({ callbackAllow: ['127.0.0.1:9'] }),
    deliveries: createDeliveries(tenants),
    approvals: createApprovals(tenants),
    schedules: createSchedules(tenants),
    firings: createFirings(tenants),
    temporalSchedules: awayTimetable,
    delegationVerifier: createGrantVerifier({
      keys: grantKeys,
      issuer: 'urn:waybill:test',
      schema: DelegationClaims,
      type: delegationType,
    }),
    scheduler: schedulerOf('urn:waybill:test'),
    webhookKeys: openWebhookKeys(webhookKeys),
    limits,
    limitedRates: createLimitedRates(tenants, limitsOf),
  };
  const app = await buildServer(
    { ...ports, ...change(ports) },
    {
      instance: 'test',
      namespace: 'default',
      operatingTenant: 'acme',
      temporalUiUrl: 'http://temporal.test',
    },
  );
  await app.listen({ host: '127.0.0.1', port: 0, backlog });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  const database = new pg.Pool({ connectionString: postgres.superuserUrl, max: 2 });
  database.on('error', () => {});

  return {
    url,
    ports,
    revocations,
    issuer,
    cable,
    roots,
    objectsFolder: join(folder, 'objects'),
    keysFolder,
    /** The key of the workload `worker`, and the file from which the API knows it. */
    workload,
    workloadsFile,
    webhookKeys,
    postgres,
    policyDigest: ports.policy.digest,
    /** As a superuser, beside the API. */
    async rows<T = Record<string, unknown>>(text: string, values: unknown[] = []): Promise<T[]> {
      return (await database.query(text, values)).rows as T[];
    },
    /** An event of a run on its way to a URL with a secret path, or one that was given up after 17 attempts. */
    async addDelivery(
      run: { id: string; tenant: string },
      state: 'pending' | 'dead-lettered',
    ): Promise<string> {
      const { rows } = await database.query(
        `INSERT INTO waybill.delivery (id, tenant, run_id, type, data, url, state, start_at, attempts, last_attempt_at, last_code)
         VALUES ('dlv_' || gen_random_uuid(), $1, $2, 'run.completed', '{}', 'http://127.0.0.1:9/hook?token=secret', $3,
                 NULL, 17, now(), 'CallbackFailed') RETURNING id`,
        [run.tenant, run.id, state],
      );
      return rows[0].id;
    },
    /** A rejected record of a run of the pipeline `few`. */
    async addLetter(run: { id: string; tenant: string }, id = 'dl_0000000000000000000001'): Promise<string> {
      await database.query(
        `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                          byte_length, stage, code, path, message, raw)
         VALUES ($1, $2, $3, 'few', 1, 'prn_1', 0, 0, 1, 0, 9, 'validate', 'SchemaMismatch', 'id', 'm', '{"id": 7}')`,
        [id, run.tenant, run.id],
      );
      return id;
    },
    /** A run that waits for a data-steward, unless `changes` say otherwise. Its rows are not there, nor is who would publish them. */
    async addApproval(
      run: { id: string; tenant: string; pipeline?: string },
      changes: ApprovalChanges = {},
    ): Promise<{ id: string; digest: string }> {
      const { by = ['data-steward'], quorum = 1, form, state = 'pending', expiresInS = 3600 } = changes;
      const shown = shownOf(run, changes.shown);
      const digest = createHash('sha256').update(canonicalJson(shown)).digest('hex');
      const id = `apr_${uuidv7()}`;
      await database.query(`UPDATE waybill.run SET state = 'awaiting-approval' WHERE id = $1`, [run.id]);
      await database.query(
        `INSERT INTO waybill.approval (id, tenant, run_id, pipeline, gate, round, state, digest, shown, sample, terms, by,
           expires_at, ended_at)
         VALUES ($1, $2, $3, $4, $5, (SELECT count(*) + 1 FROM waybill.approval WHERE run_id = $3), $6, $7, $8, $9, $10, $11,
           now() + $12::integer * interval '1 second', CASE WHEN $6 = 'pending' THEN NULL ELSE now() END)`,
        [
          id,
          run.tenant,
          run.id,
          shown.pipeline,
          shown.gate,
          state,
          digest,
          JSON.stringify(shown),
          changes.sample && JSON.stringify(changes.sample),
          JSON.stringify({ before: shown.gate, by, quorum, ...(form && { form }) }),
          JSON.stringify(by),
          expiresInS,
        ],
      );
      return { id, digest };
    },
    /** A run that has ended with nothing but these dead letters. */
    async refuseRecords(runId: string, codes: readonly string[]): Promise<void> {
      await database.query(
        `INSERT INTO waybill.dead_letter (id, tenant, run_id, pipeline, version, principal, seq, position, line, byte_offset,
                                          byte_length, stage, code, path, message, raw)
         SELECT gen_random_uuid(), 'acme', $1, 'few', 1, 'prn_1', 0, i, i, 0, 1, 'validate', code, '', 'm', 'x'
         FROM unnest($2::text[]) WITH ORDINALITY each (code, i)`,
        [runId, codes],
      );
      await database.query(
        `INSERT INTO waybill.ledger (tenant, run_id, seq, counts, rejected_by_code)
         SELECT 'acme', $1, 0, '{}', jsonb_object_agg(code, n)
         FROM (SELECT code, count(*) AS n FROM unnest($2::text[]) code GROUP BY 1) each`,
        [runId, codes],
      );
      const counts = { ...zeroCounts, read: codes.length, rejected: codes.length };
      await database.query(
        `UPDATE waybill.run SET state = 'completed', counts = $2, ended_at = now() WHERE id = $1`,
        [runId, counts],
      );
    },
    /** With a good token unless `init` says otherwise. */
    async call(path: string, init: RequestInit & { as?: string } = {}): Promise<Response> {
      const { as = await issuer.token(), ...rest } = init;
      return fetch(`${url}${path}`, { ...rest, headers: { authorization: `Bearer ${as}`, ...rest.headers } });
    },
    async stop(): Promise<void> {
      await app.close();
      await Promise.all([runs.close(), grantKeys.close(), revocations.close()]);
      await Promise.all([tenants.end(), compute.close()]);
      await database.end();
      await cable.cut();
      await Promise.all([postgres.stop(), issuer.stop()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

interface ApprovalChanges {
  by?: readonly string[];
  quorum?: number;
  form?: object;
  state?: ApprovalState;
  shown?: Partial<ApprovalSubject>;
  sample?: { digest: string; rows: number };
  expiresInS?: number;
}

function shownOf(
  run: { id: string; pipeline?: string },
  changes: Partial<ApprovalSubject> = {},
): ApprovalSubject {
  const [sourceDigest, parametersDigest] = ['s', 'p'].map((c) => c.repeat(64));
  const pipeline = run.pipeline ?? 'few';
  return {
    gate: 'publish',
    run: run.id,
    pipeline,
    version: 1,
    definitionDigest: definitions.find(pipeline)?.digest ?? 'd'.repeat(64),
    sourceDigest: sourceDigest!,
    parametersDigest: parametersDigest!,
    stages: ['b'.repeat(64)],
    baseVersion: 3,
    counts: { ...zeroCounts, read: 10, passed: 8, rejected: 2, emitted: 8 },
    changes: { added: 5, changed: 2, unchanged: 1, deduplicated: 0 },
    rejectedByCode: { TooShort: 2 },
    ...changes,
  };
}

/** There is no Temporal here, unless a test brings one. */
const awayTimetable: TemporalSchedules = {
  times: () => Promise.reject(new WaybillError('TemporalUnavailable')),
  describe: () => Promise.reject(new WaybillError('TemporalUnavailable')),
  execution: () => Promise.reject(new WaybillError('TemporalUnavailable')),
  deleteAbandoned: () => Promise.reject(new WaybillError('TemporalUnavailable')),
};

/** The policy that `inForce` returns at each moment. */
export function changingPolicy(inForce: () => Policy): Policy {
  return {
    get digest() {
      return inForce().digest;
    },
    get roles() {
      return inForce().roles;
    },
    decide: (question) => inForce().decide(question),
    explain: (question) => inForce().explain(question),
  };
}

export type Api = Awaited<ReturnType<typeof startApi>>;

/** The tokens of alice, who asks for runs, and of two stewards, who decide. */
export async function tokensToDecide(api: Api): Promise<Record<'alice' | 'bob' | 'erin', string>> {
  const steward = { roles: ['data-steward'] };
  return {
    alice: await api.issuer.token(),
    bob: await api.issuer.token({ sub: 'bob', ...steward }),
    erin: await api.issuer.token({ sub: 'erin', ...steward }),
  };
}

/** The stable code of a refusal, once it is a proper problem. */
export async function codeOf(response: Response): Promise<string> {
  const problem = (await response.json()) as { code: string; status: number; traceId: string };
  const type = response.headers.get('content-type');
  if (!type?.startsWith('application/problem+json')) throw new Error(`no problem but ${type}`);
  if (problem.status !== response.status) throw new Error(`${problem.status} is not ${response.status}`);
  if (problem.traceId !== response.headers.get('x-trace-id')) throw new Error('the trace ids differ');
  return problem.code;
}

export function json(value: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: 'POST',
    body: typeof value === 'string' ? value : JSON.stringify(value),
    headers: { 'content-type': 'application/json', ...headers },
  };
}

export function data(
  body: NonNullable<RequestInit['body']>,
  type = 'application/x-ndjson',
  headers: Record<string, string> = {},
): RequestInit {
  return {
    method: 'POST',
    body,
    headers: { 'content-type': type, ...headers },
    duplex: 'half',
  } as RequestInit;
}

/** `count` valid records from `first` on, one a line. */
export function lines(count: number, first = 0): string {
  return Array.from({ length: count }, (_, i) => `${JSON.stringify({ id: `r${first + i}` })}\n`).join('');
}
