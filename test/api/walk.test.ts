import assert from 'node:assert/strict';
import { type IncomingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { isPathOf, type Route, type RouteName, routeTable } from '../../api/routeTable.ts';
import { buildServer } from '../../api/server.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import type { Action } from '../../domain/policies/policy.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

/*
 * Every route of the router as it runs, by everybody. What is expected follows from the route’s row and from the table
 * of roles below, which says once more and by itself what the shipped policy is meant to allow.
 */

const may: Record<string, readonly Action[]> = {
  'data-engineer': ['trigger', 'read', 'cancel', 'resume', 'schedule', 'redrive', 'repair', 'discard'],
  'data-steward': ['read', 'reveal', 'approve', 'redrive', 'repair', 'discard', 'cancel'],
  operator: ['read', 'cancel', 'resume', 'discard', 'revoke', 'administer'],
  auditor: ['read'],
  'of-no-meaning': [],
};

/** Actions that no agent may do, whatever its role or the person that it acts for. */
const notForAgents: readonly (Action | null)[] = ['revoke', 'administer', 'reveal'];

type Expected = number | [status: number, code: ErrorCode];

/** The roles that the approval waits for. */
const asked = ['data-steward', 'operator'];

interface Place {
  /** A run of acme that has been accepted. */
  run: string;
  /** A revocation of acme that stands at first. */
  revocation: string;
  /** An event of it that is on its way. */
  delivery: string;
  /** Of alice. */
  schedule: string;
  /** A rejected record of it. */
  letter: string;
  /** An approval of it that stewards and operators are asked for, though policy lets stewards alone. */
  approval: string;
}

/** Both tenants have revoked this principal already, so that revoking again changes nothing. */
const revoked = json({ kind: 'principal', id: `prn_${'0'.repeat(22)}` });

/**
 * What each route answers to an authorized caller: the request, and the status, with a code where there is nothing to
 * act on. Each route must have an entry here.
 */
const granted: Record<
  RouteName,
  { path: string; init?: RequestInit; answers: Expected; elsewhere?: Expected }
> = {
  createRun: { path: '/v1/pipelines/few/runs', init: json({ records: [{ id: 'a' }] }), answers: 202 },
  listPipelines: { path: '/v1/pipelines', answers: 200 },
  getPipeline: { path: '/v1/pipelines/few', answers: 200 },
  listQuality: { path: '/v1/pipelines/few/quality', answers: 200 },
  whoami: { path: '/v1/whoami', answers: 200 },
  listRuns: { path: '/v1/runs', answers: 200 },
  getRun: { path: '/v1/runs/{run}', answers: 200 },
  // None of the callers has asked for the run.
  inputOffset: { path: '/v1/runs/{run}/input', answers: [403, 'Forbidden'] },
  sendInput: {
    path: '/v1/runs/{run}/input',
    init: { body: '{}', headers: { 'content-type': 'application/x-ndjson' } },
    answers: [403, 'Forbidden'],
  },
  appendInput: {
    path: '/v1/runs/{run}/input',
    init: { body: '{}', headers: { 'content-type': 'application/partial-upload', 'upload-offset': '0' } },
    answers: [403, 'Forbidden'],
  },
  followRun: { path: '/v1/runs/{run}/events', answers: 200 },
  listRunAudit: { path: '/v1/runs/{run}/audit', answers: 200 },
  countRejections: { path: '/v1/runs/{run}/rejections', answers: 200 },
  cancelRun: { path: '/v1/runs/{run}/cancel', answers: 202 },
  resumeRun: { path: '/v1/runs/{run}/resume', init: { method: 'POST' }, answers: [409, 'RunNotSuspended'] },
  retryRun: { path: '/v1/runs/{run}/retry', init: { method: 'POST' }, answers: [409, 'RunNotFailed'] },
  cancelRuns: { path: '/v1/runs/cancel', init: json({ definitionMissing: true }), answers: 200 },
  moveRuns: { path: '/v1/runs/move', init: json({ definitionMissing: true }), answers: 200 },
  holdRun: {
    path: '/v1/runs/{run}/hold',
    init: json({ reason: 'case 1' }),
    answers: 200,
    elsewhere: [404, 'RunNotFound'],
  },
  releaseRun: { path: '/v1/runs/{run}/hold', answers: 204 },
  listHolds: { path: '/v1/legal-holds', answers: 200 },
  revoke: { path: '/v1/revocations', init: revoked, answers: 200 },
  listRevocations: { path: '/v1/revocations', answers: 200 },
  restore: {
    path: '/v1/revocations/{revocation}',
    answers: 200,
    elsewhere: [404, 'RevocationNotFound'],
  },
  listLimits: { path: '/v1/limits', answers: 200 },
  listKeys: { path: '/v1/keys', answers: 200 },
  rotateKeys: { path: '/v1/keys/rotations', init: { method: 'POST' }, answers: 201 },
  backchannelLogout: {
    path: '/v1/backchannel-logout',
    init: { body: new URLSearchParams({ logout_token: 'x' }) },
    answers: [400, 'LogoutTokenInvalid'],
  },
  token: { path: '/token', init: { method: 'POST' }, answers: [400, 'InvalidRequest'] },
  explain: {
    path: '/v1/policy/explanations',
    init: json({ principal: {}, action: 'trigger', resource: { kind: 'pipeline', id: 'few' } }),
    answers: 200,
  },
  listDeliveries: { path: '/v1/deliveries', answers: 200 },
  getDelivery: { path: '/v1/deliveries/{delivery}', answers: 200 },
  redeliver: {
    path: '/v1/deliveries/{delivery}/redeliver',
    init: { method: 'POST' },
    answers: [409, 'DeliveryPending'],
  },
  listApprovals: { path: '/v1/approvals', answers: 200 },
  getApproval: { path: '/v1/approvals/{approval}', answers: 200 },
  approvalSample: { path: '/v1/approvals/{approval}/sample', answers: [404, 'SampleNotFound'] },
  decide: {
    path: '/v1/approvals/{approval}/decisions',
    init: json({ decision: 'approve', digest: '0'.repeat(64) }),
    answers: [409, 'ApprovalChanged'],
  },
  rotateWebhookKeys: { path: '/v1/webhook-keys/rotations', init: { method: 'POST' }, answers: 201 },
  webhookKeys: { path: '/.well-known/webhook-keys/acme', answers: 200 },
  listDeadLetters: { path: '/v1/dead-letters?run={run}', answers: 200 },
  getDeadLetter: { path: '/v1/dead-letters/{letter}', answers: 200 },
  listLetterAudit: { path: '/v1/dead-letters/{letter}/audit', answers: 200 },
  // Its run’s pipeline has no code that a thread could load here.
  repairDeadLetter: {
    path: '/v1/dead-letters/{letter}',
    init: { ...json({ record: { id: 'a' }, revision: 7 }), method: 'PATCH' },
    answers: [409, 'DeadLettersChanged'],
  },
  // A rule that applies to nothing needs no code of a pipeline.
  repairDeadLetters: {
    path: '/v1/dead-letters/repair',
    init: json({ ids: ['dl_0000000000000000000001'], rule: { patch: [{ op: 'remove', path: '/none' }] } }),
    answers: 200,
    elsewhere: [404, 'DeadLetterNotFound'],
  },
  redriveDeadLetters: {
    path: '/v1/dead-letters/redrive',
    init: json({ ids: ['dl_0000000000000000000001'], dryRun: true }),
    answers: 200,
    elsewhere: [404, 'DeadLetterNotFound'],
  },
  discardDeadLetters: {
    path: '/v1/dead-letters/discard',
    init: json({ ids: ['dl_0000000000000000000001'], reason: 'r', dryRun: true }),
    answers: 200,
    elsewhere: [404, 'DeadLetterNotFound'],
  },
  listSchedules: { path: '/v1/schedules', answers: 200 },
  createSchedule: {
    path: '/v1/schedules',
    init: json({ pipeline: 'urls', terms: { cron: '0 6 * * *' } }),
    answers: 201,
  },
  // Without Temporal no times are known.
  previewSchedule: {
    path: '/v1/schedule-previews',
    init: json({ timing: { cron: '0 6 * * *' } }),
    answers: [503, 'TemporalUnavailable'],
  },
  getSchedule: { path: '/v1/schedules/{schedule}', answers: 200 },
  updateSchedule: {
    path: '/v1/schedules/{schedule}',
    init: { ...json({ note: null }), method: 'PATCH' },
    answers: 200,
  },
  pauseSchedule: { path: '/v1/schedules/{schedule}/pause', init: { method: 'POST' }, answers: 200 },
  resumeSchedule: { path: '/v1/schedules/{schedule}/resume', init: { method: 'POST' }, answers: 200 },
  // None of the callers owns it.
  renewSchedule: {
    path: '/v1/schedules/{schedule}/renew',
    init: json({ revision: 1 }),
    answers: [403, 'OwnerOnly'],
  },
  // The walk itself changes the schedule; test/api/scheduleTerms.test.ts runs one as it was shown.
  runSchedule: {
    path: '/v1/schedules/{schedule}/run',
    init: json({ revision: 1_000_000 }),
    answers: [409, 'ScheduleChanged'],
  },
  backfillSchedule: {
    path: '/v1/schedules/{schedule}/backfill',
    init: json({ revision: 1_000_000, from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }),
    answers: [409, 'ScheduleChanged'],
  },
  listFirings: { path: '/v1/schedules/{schedule}/firings', answers: 200 },
  fire: {
    path: '/v1/schedules/{schedule}/firings',
    init: json({
      workflowId: 'fire:acme:x',
      runId: '0',
      client_assertion_type: 'x',
      client_assertion: 'x',
    }),
    answers: [400, 'InvalidRequest'],
  },
  // A new one for each who comes.
  deleteSchedule: { path: '/v1/schedules/doomed', answers: 204 },
  health: { path: '/healthz', answers: 200 },
  ready: { path: '/readyz', answers: 200 },
  openapi: { path: '/openapi.json', answers: 200 },
  keys: { path: '/.well-known/jwks.json', answers: 200 },
  protectedResource: { path: '/.well-known/oauth-protected-resource', answers: 200 },
};

interface Caller {
  tenant: string;
  roles: readonly string[];
  /** Changes to a good token; `null`: none at all. */
  claims: Record<string, unknown> | null;
  /** For a caller that every route rejects. */
  refused?: [status: number, code: ErrorCode];
}

const aMinuteAgoS = Math.floor(Date.now() / 1000) - 60;
const acme = { tenant: 'acme', roles: ['operator'] };
const callers: Record<string, Caller> = {
  ...Object.fromEntries(
    Object.keys(may).flatMap((role) =>
      ['acme', 'globex'].map((tenant): [string, Caller] => [
        `${role} of ${tenant}`,
        { tenant, roles: [role], claims: { sub: `${role}-${tenant}`, tenant, roles: [role] } },
      ]),
    ),
  ),
  'a person with all roles': {
    tenant: 'acme',
    roles: Object.keys(may),
    claims: { sub: 'everything', roles: Object.keys(may) },
  },
  'an agent that acts for an operator': {
    ...acme,
    claims: { sub: 'carol', roles: ['operator'], act: { sub: 'copilot' } },
  },
  'an agent itself': { ...acme, claims: { sub: 'bot', roles: ['operator'], kind: 'agent' } },
  'a revoked person': {
    ...acme,
    claims: { sub: 'revoked', roles: ['operator'] },
    refused: [403, 'PrincipalRevoked'],
  },
  'an agent of a revoked person': {
    ...acme,
    claims: { sub: 'revoked', roles: ['operator'], act: { sub: 'copilot' } },
    refused: [403, 'PrincipalRevoked'],
  },
  'a person with a revoked agent': {
    ...acme,
    claims: { sub: 'carol', roles: ['operator'], act: { sub: 'revoked' } },
    refused: [403, 'PrincipalRevoked'],
  },
  'a person who has signed out': {
    ...acme,
    claims: { sub: 'signed-out', roles: ['operator'], iat: aMinuteAgoS },
    refused: [401, 'SignedOut'],
  },
  'a person without a role': { ...acme, claims: { roles: [] }, refused: [403, 'Forbidden'] },
  'a person without a tenant': { ...acme, claims: { tenant: undefined }, refused: [403, 'Forbidden'] },
  'a token without a kind': { ...acme, claims: { kind: undefined }, refused: [403, 'Forbidden'] },
  'a token with an unclear actor': { ...acme, claims: { act: 'copilot' }, refused: [403, 'Forbidden'] },
  'an expired token': {
    ...acme,
    claims: { exp: 1_700_000_000 },
    refused: [401, 'TokenExpired'],
  },
  'a token for another audience': { ...acme, claims: { aud: 'other' }, refused: [401, 'Unauthenticated'] },
  'a token of another issuer': { ...acme, claims: { iss: 'http://x' }, refused: [401, 'Unauthenticated'] },
  'no token': { ...acme, claims: null, refused: [401, 'Unauthenticated'] },
};

function expected(name: RouteName, caller: Caller): Expected {
  const { identity, resource, ...row }: Route = routeTable[name];
  // Who may see the run is told apart first, and then who may trigger its pipeline.
  const action = name === 'retryRun' ? 'trigger' : row.action;
  const { answers, elsewhere = answers } = granted[name];
  if (identity !== 'token') return answers;
  if (caller.refused) return caller.refused;
  const own = caller.tenant === 'acme';
  if (resource === 'run' && !own) return [404, 'RunNotFound'];
  if (resource === 'schedule' && !own) return [404, 'ScheduleNotFound'];
  if (resource === 'instance' && !own) return [403, 'Forbidden'];
  if (resource === 'delivery' && !own) return [404, 'DeliveryNotFound'];
  if (resource === 'dead letter' && !own) return [404, 'DeadLetterNotFound'];
  if (resource === 'approval' && !own) return [404, 'ApprovalNotFound'];
  const { kind, act } = caller.claims!;
  const isAgent = kind === 'agent' || act !== undefined;
  if (action === 'approve') {
    if (isAgent) return [403, 'ApproverNotHuman'];
    if (!caller.roles.some((role) => asked.includes(role))) return [403, 'ApproverLacksRole'];
  }
  // The letters are found first, and the policy is asked about their runs.
  if (resource === 'chosen letters' && !own) return elsewhere;
  const allowed = action === null || caller.roles.some((role) => may[role]!.includes(action));
  if (!allowed || (isAgent && notForAgents.includes(action))) return [403, 'Forbidden'];
  return own ? answers : elsewhere;
}

describe('a walk through every route', () => {
  let api: Api;
  let place: Place;
  /** What globex must never see: ids of what acme has, and its name. */
  let secrets: string[];

  before(async () => {
    api = await startApi();
    const response = await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }));
    const { id, requestedBy } = (await response.json()) as { id: string; requestedBy: { id: string } };
    const delivery = await api.addDelivery({ id, tenant: 'acme' }, 'pending');
    const approval = await api.addApproval({ id, tenant: 'acme' }, { by: asked });
    const letter = await api.addLetter({ id, tenant: 'acme' });
    const revocation = await revoke('acme', json({ kind: 'principal', id: `prn_${'1'.repeat(22)}` }));
    secrets = [
      'acme',
      id,
      requestedBy.id,
      delivery,
      letter,
      approval.id,
      revocation,
      await revoke('acme', revoked),
    ];
    await revoke('globex', revoked);
    const schedule = await makeSchedule('daily');
    place = { run: id, revocation, delivery, letter, approval: approval.id, schedule };
    secrets.push(schedule);
    await revoke('acme', json({ kind: 'principal', id: await idOf('revoked') }));
    await signOut('signed-out');
    // Each of them is known within moments; this waits for the last.
    while ((await whoami('signed-out', aMinuteAgoS)).status === 200);
  });

  const whoami = async (sub: string, iat?: number) =>
    api.call('/v1/whoami', { as: await api.issuer.token({ sub, ...(iat && { iat }) }) });
  const idOf = async (sub: string) => ((await (await whoami(sub)).json()) as { id: string }).id;

  async function signOut(sub: string): Promise<void> {
    const iat = Math.floor(Date.now() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = { iss: api.issuer.url, aud: 'waybill-cli', sub, iat, jti: 'walk', events };
    const body = new URLSearchParams({ logout_token: await api.issuer.sign(claims, { typ: 'logout+jwt' }) });
    const response = await fetch(`${api.url}/v1/backchannel-logout`, { method: 'POST', body });
    assert.equal(response.status, 200);
  }

  after(() => api.stop());

  async function revoke(tenant: string, init: RequestInit): Promise<string> {
    const as = await api.issuer.token({ sub: 'first', tenant, roles: ['operator'] });
    return ((await (await api.call('/v1/revocations', { as, ...init })).json()) as { id: string }).id;
  }

  const pathOf = (name: RouteName) =>
    granted[name].path.replace(/\{(\w+)\}/g, (_, what) => place[what as keyof Place]);

  async function makeSchedule(id: string): Promise<string> {
    await api.call('/v1/schedules', json({ id, pipeline: 'urls', terms: { cron: '0 6 * * *' } }));
    return id;
  }

  async function ask(name: RouteName, { claims }: Caller) {
    if (name === 'deleteSchedule') await makeSchedule('doomed');
    const headers: Record<string, string> =
      claims === null ? {} : { authorization: `Bearer ${await api.issuer.token(claims)}` };
    const { init } = granted[name];
    const response = await fetch(`${api.url}${pathOf(name)}`, {
      method: routeTable[name].method,
      ...init,
      headers: { ...(init?.headers as Record<string, string>), ...headers },
    });
    const trace = response.headers.get('x-trace-id')!;
    if (response.status >= 400) {
      const said = await response.clone().text();
      if (routeTable[name].method === 'HEAD') return { trace, outcome: response.status, said };
      // The token endpoint rejects in the form of OAuth.
      const code = name === 'token' ? JSON.parse(said).code : await codeOf(response);
      return { trace, outcome: [response.status, code], said };
    }
    return { trace, outcome: response.status, said: await beginning(response) };
  }

  for (const name of Object.keys(routeTable) as RouteName[]) {
    it(`${routeTable[name].method} ${routeTable[name].path} answers each as it must`, async () => {
      assert.ok(granted[name], 'Add the route to `granted` above.');
      for (const [who, caller] of Object.entries(callers)) {
        const { outcome, trace, said } = await ask(name, caller);
        const answer = [expected(name, caller)].flat();
        // The answer to HEAD has no body to say why.
        if (routeTable[name].method === 'HEAD') assert.equal(outcome, answer[0], who);
        else assert.deepEqual([outcome].flat(), answer, who);
        const denied = await api.rows(
          `SELECT 1 FROM waybill.audit_event WHERE txn = $1 AND action = 'access.denied' AND outcome = 'denied'`,
          [trace],
        );
        assert.equal(denied.length, answer[0] === 403 || answer[1] === 'SignedOut' ? 1 : 0, `audit: ${who}`);
        if (caller.tenant === 'globex' && routeTable[name].identity === 'token')
          assert.deepEqual(
            secrets.filter((secret) => said.includes(secret)),
            [],
            who,
          );
      }
    });
  }
});

describe('the walk itself', () => {
  it('notices a policy that lets everybody do everything', async () => {
    const api = await startApi({
      change: ({ policy }) => {
        const decide: typeof policy.decide = () => ({ allowed: true, policies: [], digest: policy.digest });
        return { policy: Object.assign(Object.create(policy), { decide }) };
      },
    });
    try {
      const auditor = callers['auditor of acme']!;
      const { path, init } = granted.createRun;
      const { status } = await api.call(path, { ...init, as: await api.issuer.token(auditor.claims!) });
      assert.notDeepEqual([status], [expected('createRun', auditor)].flat().slice(0, 1));
    } finally {
      await api.stop();
    }
  });
});

describe('ways around the route', () => {
  let api: Api;
  let powerless: string;
  before(async () => {
    api = await startApi();
    powerless = await api.issuer.token({ sub: 'mallory', roles: ['of-no-meaning'] });
  });
  after(() => api.stop());

  /** The path exactly as it is written here; `fetch` would tidy it. */
  function raw(method: string, path: string, headers: Record<string, string> = {}): Promise<Answer> {
    const { port } = new URL(api.url);
    return new Promise((resolve, reject) => {
      const asked = request({ host: '127.0.0.1', port, method, path, headers }, (response) => {
        const { statusCode: status = 0, headers: answered } = response;
        text(response).then((body) => resolve({ status, headers: answered, body }), reject);
      });
      // What is no HTTP is answered before its method is known: with a body, after which the parser of Node complains.
      asked.once('error', (error: Error & { code?: string; rawPacket?: Buffer }) =>
        error.code === 'HPE_CLOSED_CONNECTION' ? resolve(answerIn(error.rawPacket!)) : reject(error),
      );
      asked.end();
    });
  }

  const tricks: Record<string, (path: string) => string> = {
    'a slash more': (path) => `${path}/`,
    'two slashes more': (path) => `${path}//`,
    'two slashes before': (path) => `/${path}`,
    'an encoded slash more': (path) => `${path}%2f`,
    'a public path as a suffix': (path) => `${path}/healthz`,
    'a public path as a suffix, encoded': (path) => `${path}%2fhealthz`,
    'a public file as a suffix': (path) => `${path}/openapi.json`,
    'an ending': (path) => `${path}.json`,
    'an ending of a picture': (path) => `${path}/x.png`,
    'a parameter of the path': (path) => `${path};/healthz`,
    'a public path in the query': (path) => `${path}?/healthz`,
    'a token in the query': (path) => `${path}?access_token=${powerless}`,
    'a fragment': (path) => `${path}#/healthz`,
    'a NUL': (path) => `${path}%00`,
    'a space': (path) => `${path}%20`,
    'a dot': (path) => `${path}/.`,
    'a public path before': (path) => `/healthz/..${path}`,
    'the documentation before': (path) => `/docs/..${path}`,
    'the documentation before, encoded': (path) => `/docs/%2e%2e${path}`,
    'the files of the documentation before': (path) => `/docs/static/..%2f..${path}`,
    'well-known before': (path) => `/.well-known/../${path}`,
    'a dot within': (path) => path.replace('/v1/', '/v1/./'),
    capitals: (path) => path.replace('/v1/', '/V1/'),
    'encoded letters': (path) => path.replace('/v1/', '/%76%31/'),
    'letters encoded twice': (path) => path.replace('/v1/', '/%2576%2531/'),
    backslashes: (path) => path.replaceAll('/', '\\'),
    'an absolute form': (path) => `http://healthz${path}`,
    'an overlong UTF-8': (path) => `${path}%c0%af`,
  };

  for (const name of Object.keys(routeTable) as RouteName[]) {
    const { identity, resource, method, path }: Route = routeTable[name];
    if (identity !== 'token') continue;
    it(`none leads past ${method} ${path}`, async () => {
      const real = path.replace(':id', 'few');
      for (const [what, bend] of Object.entries(tricks)) {
        for (const authorization of resource === 'self' ? [''] : ['', `Bearer ${powerless}`]) {
          const { status, headers, body } = await raw(
            method,
            bend(real),
            authorization ? { authorization } : {},
          );
          assert.ok(status >= 400 && status < 500, `${what}: ${status}`);
          assert.match(headers['content-type'] ?? '', /^application\/problem\+json/, what);
          if (method === 'HEAD') continue;
          assert.deepEqual(Object.keys(JSON.parse(body)).includes('code'), true, what);
        }
      }
    });

    it(`no other header or method leads past ${method} ${path}`, async () => {
      const real = path.replace(':id', 'few');
      for (const headers of [
        { 'x-forwarded-user': 'alice' },
        { 'x-remote-user': 'alice' },
        { 'x-original-url': '/healthz' },
        { 'x-rewrite-url': '/healthz' },
        { cookie: `access_token=${powerless}` },
        { authorization: `Basic ${Buffer.from('alice:alice').toString('base64')}` },
        { authorization: 'Bearer ' },
        { authorization: `Bearer ${powerless}, Bearer ${powerless}` },
      ] as Record<string, string>[])
        assert.equal((await raw(method, real, headers)).status, 401, JSON.stringify(headers));
      const served = Object.values(routeTable).flatMap((row) =>
        isPathOf(row, real) ? [row.method as string] : [],
      );
      for (const other of ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND']) {
        if (served.includes(other)) continue;
        const { status, headers } = await raw(other, real, { authorization: `Bearer ${powerless}` });
        assert.equal(status, 405, other);
        assert.deepEqual(headers.allow?.split(', ').sort(), served.toSorted(), other);
      }
      const overridden = await raw('GET', '/healthz', { 'x-http-method-override': method });
      assert.equal(overridden.status, 200);
    });
  }

  it('the router serves the table and the pages of the documentation, and nothing else', async () => {
    const app = await buildServer({} as never, { instance: 'test', namespace: 'default' });
    await app.ready();
    const served = routesIn(app.printRoutes({ commonPrefix: false })).filter(
      (one) => !/ \/docs(\/|$)/.test(one),
    );
    await app.close();
    const rows = Object.values(routeTable).map(({ method, path }) => `${method} ${path}`);
    assert.deepEqual(served.sort(), rows.sort());
  });

  it('the pages of the documentation say nothing but the document', async () => {
    for (const path of ['/docs', '/docs/', '/docs/json', '/docs/yaml']) {
      const { status, body } = await raw('GET', path);
      assert.equal(status, 200, path);
      assert.doesNotMatch(body, /acme|globex/, path);
    }
    for (const path of [
      '/docs/../../package.json',
      '/docs/%2e%2e%2fpackage.json',
      '/docs/static/..%2f..%2fpackage.json',
    ])
      assert.equal((await raw('GET', path)).status, 404, path);
  });
});

function answerIn(packet: Buffer): Answer {
  const [head = '', body = ''] = packet.toString().split('\r\n\r\n');
  const [status = '', ...fields] = head.split('\r\n');
  const headers = Object.fromEntries(fields.map((field) => field.split(': ')));
  return { status: Number(status.split(' ')[1]), headers, body };
}

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** `METHOD /path` of each leaf and branch of the tree that Fastify prints. */
function routesIn(tree: string): string[] {
  const above: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const [, indent, segment, methods] = /^([│ ]*)[├└]── (\S+)(?: \((.+)\))?$/.exec(line) ?? [];
    if (indent === undefined) return [];
    above.splice(indent.length / 4, above.length, segment!);
    return (methods?.split(', ') ?? []).map((method) => `${method} ${above.join('')}`);
  });
}

/** Of a stream that goes on, what it says first. */
async function beginning(response: Response): Promise<string> {
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) return response.text();
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  await reader.cancel();
  return Buffer.from(value!).toString();
}
