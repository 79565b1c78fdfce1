import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import {
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  type JWTHeaderParameters,
  type JWTPayload,
  jwtVerify,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { openKeyFolder, type PrivateKey } from '../../adapters/keys/keyFolder.ts';
import { signGrant } from '../../adapters/keys/signGrant.ts';
import { openWorkloads } from '../../adapters/keys/workloads.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { GrantClaims } from '../../domain/grants/grant.ts';
import type { Authorizer } from '../../domain/ports/authorizer.ts';
import { makeKey } from '../support/keys.ts';
import { type Api, json, startApi } from './startApi.ts';

const issuer = 'urn:waybill:test';
const origin = 'https://example.com';

interface Answer {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
}

describe('the token endpoint', () => {
  let api: Api;
  let key: PrivateKey;
  let run: { id: string };
  let grant: string;
  /** What holds today, where it is not what the API knows. */
  let authorizer: Partial<Authorizer>;

  before(async () => {
    api = await startApi({
      change: (ports) => ({
        authorizer: {
          hasDefinition: (claims) => (authorizer.hasDefinition ?? ports.authorizer.hasDefinition)(claims),
          isRevoked: (granted) => (authorizer.isRevoked ?? ports.authorizer.isRevoked)(granted),
          decide: (claims, step) => (authorizer.decide ?? ports.authorizer.decide)(claims, step),
        },
      }),
    });
    authorizer = {};
    run = await begin('own');
    grant = await grantOf(run.id);
    key = (await (await openKeyFolder(api.keysFolder)).read())[0]!;
  });
  after(() => api.stop());

  async function begin(pipeline: string): Promise<{ id: string }> {
    const response = await api.call(`/v1/pipelines/${pipeline}/runs`, json({}));
    assert.equal(response.status, 202, await response.clone().text());
    return (await response.json()) as { id: string };
  }
  async function grantOf(id: string): Promise<string> {
    const [row] = await api.rows<{ grant_jws: string }>('SELECT grant_jws FROM waybill.run WHERE id = $1', [
      id,
    ]);
    return row!.grant_jws;
  }
  const altered = (change: object, tctx: object = {}) => {
    const claims = decodeJwt(grant) as unknown as GrantClaims;
    return signGrant({ ...claims, ...change, tctx: { ...claims.tctx, ...tctx } }, key);
  };

  const nowS = () => Math.floor(Date.now() / 1000);
  function assertion(change: JWTPayload = {}, header: object = {}, by = api.workload): Promise<string> {
    const good = {
      iss: 'worker',
      sub: 'worker',
      aud: issuer,
      iat: nowS(),
      exp: nowS() + 60,
      jti: randomUUID(),
    };
    return new SignJWT({ ...good, ...change })
      .setProtectedHeader({ alg: 'EdDSA', ...header } as JWTHeaderParameters)
      .sign(by.privateKey);
  }

  /** A good request but for the change; `undefined` takes a field away. */
  async function formOf(change: Record<string, string | undefined> = {}): Promise<[string, string][]> {
    const fields: Record<string, string | undefined> = {
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: grant,
      subject_token_type: 'urn:waybill:oauth:token-type:grant',
      requested_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
      audience: origin,
      scope: 'fetch',
      client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
      client_assertion: 'client_assertion' in change ? change.client_assertion : await assertion(),
      ...change,
    };
    return Object.entries(fields).filter((field): field is [string, string] => field[1] !== undefined);
  }
  async function post(
    body: NonNullable<RequestInit['body']>,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const response = await fetch(`${api.url}/token`, { method: 'POST', body, headers });
    const answer = (await response.json()) as Record<string, unknown>;
    return { status: response.status, headers: response.headers, body: answer };
  }
  const ask = async (change?: Record<string, string | undefined>) =>
    post(new URLSearchParams(await formOf(change)));

  async function refused(
    answer: Promise<Answer> | Answer,
    status: number,
    error: string,
    code: string,
    why?: string,
  ) {
    const { status: answered, headers, body } = await answer;
    assert.deepEqual([answered, body.error, body.code], [status, error, code], why);
    assert.match(headers.get('content-type')!, /^application\/json/);
    assert.equal(headers.get('cache-control'), 'no-store');
    assert.equal(typeof body.error_description, 'string');
    assert.equal(body.traceId, headers.get('x-trace-id'));
    assert.ok(!JSON.stringify(body).includes(grant.slice(-20)));
  }
  const unauthenticated = async (client_assertion: string, why: string, more: Record<string, string> = {}) =>
    refused(ask({ client_assertion, ...more }), 401, 'invalid_client', 'WorkloadUnauthenticated', why);

  it('gives a token for one step and one audience, verifiable with the published keys', async () => {
    const { status, headers, body } = await ask();
    assert.equal(status, 200, JSON.stringify(body));
    assert.equal(headers.get('cache-control'), 'no-store');
    const { access_token, ...rest } = body as { access_token: string };
    assert.deepEqual(rest, {
      issued_token_type: 'urn:ietf:params:oauth:token-type:txn_token',
      token_type: 'Bearer',
      expires_in: 300,
      scope: 'fetch',
    });
    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', api.url));
    const { payload } = await jwtVerify(access_token, keys, {
      issuer,
      audience: origin,
      typ: 'txntoken+jwt',
      algorithms: ['EdDSA'],
      requiredClaims: ['iat', 'exp', 'jti', 'txn', 'sub', 'scope', 'req_wl'],
    });
    const granted = decodeJwt(grant) as unknown as GrantClaims;
    const { iat, jti, ...claims } = payload;
    assert.deepEqual(claims, {
      iss: issuer,
      aud: origin,
      exp: iat! + 300,
      txn: granted.txn,
      sub: granted.sub,
      sub_id: { format: 'iss_sub', iss: api.issuer.url, sub: 'alice' },
      scope: 'fetch',
      req_wl: 'worker',
      tctx: { tenant: 'acme', run: run.id, pipeline: 'own' },
    });
    const [event] = await api.rows(
      `SELECT tenant, run_id, txn, actor->>'id' AS actor, outcome, detail FROM waybill.audit_event
       WHERE action = 'step-token.issued'`,
    );
    const detail = event!.detail as Record<string, unknown>;
    assert.deepEqual(
      [event!.tenant, event!.run_id, event!.txn, event!.actor, event!.outcome, detail.token, detail.audience],
      ['acme', run.id, granted.txn, granted.sub, 'success', jti, origin],
    );
    assert.deepEqual([detail.step, detail.workload, detail.grant], ['fetch', 'worker', granted.jti]);
    assert.ok(!JSON.stringify(event).includes(access_token.split('.')[2]!));
  });

  it('is verified, and its workloads are known, by what docs/keys.md says', async () => {
    const page = await readFile('docs/keys.md', 'utf8');
    const [, code] = /```ts\nimport .*\n([^`]+)```/.exec(page)!;
    const here = code!
      .replace('https://waybill.example.com', api.url)
      .replace('urn:waybill:production', issuer)
      .replace('https://data.example.com', origin);
    const AsyncFunction = (async () => {}).constructor as FunctionConstructor;
    const verify = new AsyncFunction('createRemoteJWKSet', 'jwtVerify', 'token', `${here} return payload;`);
    const payload = await verify(createRemoteJWKSet, jwtVerify, (await ask()).body.access_token);
    assert.equal(payload.tctx.run, run.id);
    const file = `${api.workloadsFile}.example`;
    await writeFile(file, /```json\n([^`]+)```/.exec(page)![1]!);
    const workloads = await openWorkloads({ file, audience: issuer, spend: async () => true });
    await assert.rejects(workloads.authenticate(await assertion()), { code: 'WorkloadUnauthenticated' });
    await writeFile(file, JSON.stringify({ worker: { keys: [await exportJWK(api.workload.privateKey)] } }));
    await assert.rejects(openWorkloads({ file, audience: issuer, spend: async () => true }), /private key/);
  });

  it('says who acts for the person, and never outlives the grant', async () => {
    const act = { id: 'prn_copilot', iss: 'https://issuer.test', sub: 'copilot', kind: 'agent' };
    const actor = { id: act.id, issuer: act.iss, subject: act.sub, kind: act.kind };
    const { id } = await begin('own');
    await api.rows(
      `UPDATE waybill.run SET requested_by = requested_by || jsonb_build_object('actor', $2::jsonb) WHERE id = $1`,
      [id, actor],
    );
    const claims = decodeJwt(await grantOf(id)) as unknown as GrantClaims;
    const subject_token = await signGrant({ ...claims, act, exp: nowS() + 20 }, key);
    const { body } = await ask({ subject_token });
    const { exp, act: said } = decodeJwt(body.access_token as string);
    assert.deepEqual(said, act);
    assert.ok(exp! <= nowS() + 20 && (body.expires_in as number) <= 20);
  });

  it('reads forms, and each field once', async () => {
    await refused(
      post('{}', { 'content-type': 'application/json' }),
      415,
      'invalid_request',
      'UnsupportedMediaType',
    );
    await refused(
      post('x=1', { 'content-type': 'text/csv' }),
      415,
      'invalid_request',
      'UnsupportedMediaType',
    );
    const form = await formOf();
    for (const [name] of form)
      await refused(
        post(new URLSearchParams([...form, [name, 'x']])),
        400,
        'invalid_request',
        'InvalidRequest',
        `${name} twice`,
      );
    for (const [name] of form.filter(([name]) => name !== 'requested_token_type')) {
      for (const value of [undefined, ''])
        await refused(
          ask({ [name]: value }),
          400,
          'invalid_request',
          'InvalidRequest',
          `${name} is ${value}`,
        );
    }
    await refused(ask({ padding: 'x'.repeat(40_000) }), 413, 'invalid_request', 'RequestTooLarge');
    assert.equal((await ask({ resource: 'https://x.test', unknown: 'x' })).status, 200);
  });

  it('exchanges grants for step tokens, and nothing else for anything else', async () => {
    for (const grant_type of ['client_credentials', 'refresh_token', 'authorization_code', 'password'])
      await refused(ask({ grant_type }), 400, 'unsupported_grant_type', 'TokenTypeUnsupported', grant_type);
    for (const change of [
      { subject_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
      { subject_token_type: 'urn:ietf:params:oauth:token-type:refresh_token' },
      { requested_token_type: 'urn:ietf:params:oauth:token-type:access_token' },
      { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' },
    ])
      await refused(ask(change), 400, 'invalid_request', 'InvalidRequest', JSON.stringify(change));
  });

  it('wants to know which workload asks', async () => {
    const stranger = await makeKey();
    const claims = { iss: 'worker', sub: 'worker', aud: issuer, iat: nowS(), exp: nowS() + 60, jti: 'x' };
    const secret = new TextEncoder().encode('worker worker worker worker worker');
    for (const [why, made] of Object.entries({
      'no JWT': 'x',
      'the key of a stranger': assertion({}, {}, stranger),
      'no signature': new UnsecuredJWT(claims).encode(),
      'a secret': new SignJWT(claims).setProtectedHeader({ alg: 'HS256' }).sign(secret),
      'a key of its own': assertion({}, { jwk: stranger.jwk }, stranger),
      'an unknown workload': assertion({ iss: 'other', sub: 'other' }),
      'no workload': assertion({ iss: '', sub: '' }),
      'a workload for another': assertion({ sub: 'other' }),
      'another for the workload': assertion({ iss: 'other' }),
      'no subject': assertion({ sub: undefined }),
      'another audience': assertion({ aud: `${api.url}/token` }),
      'no audience': assertion({ aud: undefined }),
      'two audiences': assertion({ aud: [issuer, 'https://x.test'] }),
      'one audience in a list': assertion({ aud: [issuer] }),
      'a long life': assertion({ exp: nowS() + 61 }),
      'no end': assertion({ exp: undefined }),
      'an end before now': assertion({ iat: nowS() - 30, exp: nowS() - 10 }),
      'no beginning': assertion({ iat: undefined }),
      'an old beginning': assertion({ iat: nowS() - 90 }),
      'a beginning to come': assertion({ iat: nowS() + 30 }),
      'no id': assertion({ jti: undefined }),
      'an empty id': assertion({ jti: '' }),
      'an id with a zero byte': assertion({ jti: 'a\0b' }),
      'a long id': assertion({ jti: 'x'.repeat(201) }),
      'an access token': assertion({}, { typ: 'at+jwt' }),
      'a grant': assertion({}, { typ: 'grant+jwt' }),
      'an extension': assertion({}, { crit: ['x'], x: 1 }).catch(() => 'x.y.z'),
      'a token of a person': api.issuer.token(),
      'the grant itself': grant,
    }))
      await unauthenticated(await made, why);
    await unauthenticated(await assertion(), 'another client', { client_id: 'other' });
    assert.equal((await ask({ client_id: 'worker' })).status, 200);
    assert.equal(
      (await ask({ client_assertion: await assertion({}, { typ: 'client-authentication+jwt' }) })).status,
      200,
    );
  });

  it('takes each assertion once, whatever became of the request', async () => {
    const one = await assertion();
    assert.equal((await ask({ client_assertion: one })).status, 200);
    await unauthenticated(one, 'used');
    const other = await assertion();
    await refused(
      ask({ client_assertion: other, audience: 'https://x.test' }),
      400,
      'invalid_target',
      'TokenAudienceRefused',
    );
    await unauthenticated(other, 'used for something that was refused');
    const raced = await assertion();
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask({ client_assertion: raced })));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
  });

  it('knows other keys of its workloads as soon as their file is another', async () => {
    const next = await makeKey();
    const exchanged = async (workloads: object) => {
      await writeFile(`${api.workloadsFile}.new`, JSON.stringify(workloads));
      await rename(`${api.workloadsFile}.new`, api.workloadsFile);
    };
    await exchanged({ worker: { keys: [api.workload.jwk, next.jwk] } });
    assert.equal((await ask({ client_assertion: await assertion({}, { kid: next.kid }, next) })).status, 200);
    await exchanged({ worker: { keys: [next.jwk] } });
    await unauthenticated(await assertion(), 'a key that is gone');
    await exchanged({ worker: { keys: [] } });
    await unauthenticated(await assertion({}, {}, next), 'a file that cannot be used');
    await exchanged({ worker: { keys: [api.workload.jwk] } });
    assert.equal((await ask()).status, 200);
  });

  it('wants a grant of this Waybill', async () => {
    const stranger = await makeKey();
    const claims = decodeJwt(grant);
    const rs = await generateKeyPair('RS256');
    const stepToken = (await ask()).body.access_token as string;
    for (const [subject_token, code] of [
      ['x', 'GrantMalformed'],
      [grant.slice(0, -3), 'GrantMalformed'],
      [await signGrant({ ...claims, extra: 1 }, key), 'GrantMalformed'],
      [new UnsecuredJWT(claims).encode(), 'GrantAlgorithmUnsupported'],
      [
        await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: key.kid }).sign(rs.privateKey),
        'GrantAlgorithmUnsupported',
      ],
      [await api.issuer.token(), 'GrantAlgorithmUnsupported'],
      [stepToken, 'GrantTypeMismatch'],
      [await signGrant(claims, key, 'at+jwt'), 'GrantTypeMismatch'],
      [await signGrant(claims, { kid: stranger.kid, key: stranger.privateKey }), 'GrantKeyNotFound'],
      [await signGrant(claims, { kid: key.kid, key: stranger.privateKey }), 'GrantInvalid'],
      [await altered({ iss: 'urn:waybill:other' }), 'GrantIssuerMismatch'],
      [await altered({ aud: 'other' }), 'GrantIssuerMismatch'],
    ] as const)
      await refused(ask({ subject_token }), 400, 'invalid_request', code);
    const events = await api.rows(
      `SELECT tenant, actor, run_id FROM waybill.audit_event
       WHERE action = 'step-token.denied' AND detail->>'code' = 'GrantInvalid'`,
    );
    assert.deepEqual(
      events,
      [{ tenant: null, actor: null, run_id: null }],
      'nothing of it is taken for true',
    );
  });

  it('wants the grant of a run that is open, as that was recorded', async () => {
    const change = (tctx: object, claims: object = {}) => altered(claims, tctx);
    for (const [subject_token, code] of [
      [await change({ workflowId: 'own-none' }), 'TokenRequestInvalid'],
      [await change({ tenant: 'globex' }), 'TokenRequestInvalid'],
      [await change({}, { sub: 'prn_bob' }), 'GrantMismatch'],
      [await change({}, { txn: '0'.repeat(32) }), 'GrantMismatch'],
      [await change({ pipeline: 'urls' }), 'GrantMismatch'],
      [await change({ version: 2 }), 'GrantMismatch'],
      [await change({ definitionDigest: 'x' }), 'GrantMismatch'],
      [await change({ parametersDigest: 'x' }), 'GrantMismatch'],
      [await change({ sourceDigest: 'x' }), 'GrantMismatch'],
      [await change({ namespace: 'other' }), 'GrantMismatch'],
    ] as const)
      await refused(ask({ subject_token }), 400, 'invalid_request', code);
    const ended = await begin('own');
    const subject_token = await grantOf(ended.id);
    assert.equal((await ask({ subject_token })).status, 200);
    await api.rows(`UPDATE waybill.run SET state = 'failed', ended_at = now() WHERE id = $1`, [ended.id]);
    await refused(ask({ subject_token }), 400, 'invalid_request', 'TokenRequestInvalid', 'ended');
  });

  it('gives a token for no other step and for no other audience than the run calls as its person', async () => {
    for (const scope of ['publish', 'Fetch', 'fetch ingest', 'openid'])
      await refused(ask({ scope }), 400, 'invalid_scope', 'StepNotGranted', scope);
    await refused(
      ask({ subject_token: await altered({}, { steps: ['ingest'] }) }),
      400,
      'invalid_scope',
      'StepNotGranted',
    );
    await refused(ask({ scope: 'ingest' }), 400, 'invalid_target', 'TokenAudienceRefused');
    for (const audience of [
      'https://example.com/',
      'https://example.com/rows',
      'https://example.com:444',
      'https://example.com:443',
      'http://example.com',
      'https://EXAMPLE.com',
      'https://www.example.com',
      'https://example.com.evil.test',
      issuer,
      'waybill',
    ])
      await refused(ask({ audience }), 400, 'invalid_target', 'TokenAudienceRefused', audience);
    const plain = await begin('urls');
    await refused(
      ask({ subject_token: await grantOf(plain.id) }),
      400,
      'invalid_target',
      'TokenAudienceRefused',
      'its source is read without a person',
    );
  });

  it('asks what holds today', async () => {
    await refused(
      ask({ subject_token: await altered({ exp: nowS() }) }),
      400,
      'invalid_request',
      'GrantExpired',
    );
    for (const [today, status, error, code] of [
      [{ isRevoked: () => true }, 400, 'invalid_request', 'GrantRevoked'],
      [
        { decide: () => ({ allowed: false, policies: [], digest: 'x' }) },
        400,
        'invalid_request',
        'PolicyDenied',
      ],
      [{ hasDefinition: () => false }, 503, 'temporarily_unavailable', 'DefinitionUnavailable'],
      [
        { isRevoked: () => refuse('RevocationsUnavailable') },
        503,
        'temporarily_unavailable',
        'RevocationsUnavailable',
      ],
      [{ decide: () => refuse('PolicyUnavailable') }, 503, 'temporarily_unavailable', 'PolicyUnavailable'],
    ] as const) {
      authorizer = today;
      await refused(ask(), status, error, code);
    }
    authorizer = {};
    const events = await api.rows<{ code: string; tenant: string; run_id: string }>(
      `SELECT detail->>'code' AS code, tenant, run_id FROM waybill.audit_event
       WHERE action = 'step-token.denied' AND detail->>'code' IN ('GrantRevoked', 'PolicyDenied', 'PolicyUnavailable')`,
    );
    assert.deepEqual(
      events.map(({ code, tenant, run_id }) => [code, tenant, run_id]),
      [
        ['GrantRevoked', 'acme', run.id],
        ['PolicyDenied', 'acme', run.id],
      ],
    );
  });

  it('gives none where it cannot write that down', async () => {
    await api.cable.cut();
    const answer = await ask();
    await api.cable.mend();
    await refused(answer, 503, 'temporarily_unavailable', 'DatabaseUnavailable');
    assert.equal(answer.headers.get('retry-after'), '1');
  });

  it('leaves nothing of tokens, grants and assertions in the tables of what it has seen', async () => {
    const { access_token } = (await ask()).body as { access_token: string };
    const client_assertion = await assertion();
    await ask({ client_assertion });
    const tables = await api.rows<{ name: string }>(
      `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname IN ('waybill', 'public')`,
    );
    for (const { name } of tables)
      for (const secret of [access_token, client_assertion])
        assert.deepEqual(
          await api.rows(`SELECT 1 FROM ${name} t WHERE t::text LIKE '%' || $1 || '%'`, [
            secret.split('.')[2],
          ]),
          [],
          name,
        );
    assert.equal(decodeProtectedHeader(access_token).kid, key.kid);
  });
});

function refuse(code: 'RevocationsUnavailable' | 'PolicyUnavailable'): never {
  throw new WaybillError(code);
}
