import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, defaultPayloadConverter, type Headers } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import {
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTHeaderParameters,
  SignJWT,
  UnsecuredJWT,
} from 'jose';
import { createGrantSigner } from '../../adapters/keys/grantSigner.ts';
import { createGrantVerifier } from '../../adapters/keys/grantVerifier.ts';
import { currentGrant, grantActivityInterceptor } from '../../adapters/temporal/activityInterceptor.ts';
import type { AuditEvent } from '../../domain/audit.ts';
import type { GrantClaims } from '../../domain/grant.ts';
import { grantHeader } from '../../domain/grantHeader.ts';
import type { Authority } from '../../domain/ports/authority.ts';
import type { GrantSigner, GrantVerifier } from '../../domain/ports/grants.ts';

const attempt = {
  namespace: 'default',
  workflowExecution: { workflowId: 'orders-1', runId: 'run' },
  workflowType: 'runPipeline',
  activityType: 'store',
};
const nowS = 1_800_000_000;
const claims: GrantClaims = {
  iss: 'urn:waybill:test',
  aud: 'waybill',
  iat: nowS,
  exp: nowS + 60,
  jti: 'g1',
  txn: '0af7651916cd43dd8448eb211c80319c',
  sub: 'prn_alice',
  scope: 'ingest validate transform store finalize',
  req: { iss: 'https://issuer.test', sub: 'alice', kind: 'person', roles: ['data-engineer'] },
  tctx: {
    tenant: 'acme',
    namespace: 'default',
    workflowId: 'orders-1',
    workflowType: 'runPipeline',
    pipeline: 'orders',
    version: 1,
    definitionDigest: 'd',
    sourceDigest: 's',
    parametersDigest: 'x',
    steps: ['ingest', 'validate', 'transform', 'store', 'finalize'],
    policyDigest: 'p',
  },
};

/** Everything that is granted still holds. */
const authority: Authority = {
  hasDefinition: () => true,
  isRevoked: () => false,
  decide: () => ({ allowed: true, policies: ['test'], digest: 'p' }),
};

describe('the check before every attempt of a step', () => {
  let folder: string;
  let signer: GrantSigner;
  let privateJwk: JWK;
  let kid: string;
  let server: Server;
  let verifier: GrantVerifier;
  let audited: AuditEvent[];

  before(async () => {
    // Refusals are logged, and here there is nothing but refusals.
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    folder = await mkdtemp(join(tmpdir(), 'waybill-keys-'));
    const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
    privateJwk = await exportJWK(privateKey);
    await writeFile(join(folder, 'key'), JSON.stringify(privateJwk));
    signer = await createGrantSigner(join(folder, 'key'));
    const published = await signer.publicKeys();
    kid = (published.keys[0] as { kid: string }).kid;
    server = createServer((_, response) => response.end(JSON.stringify(published)));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const jwksUrl = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`);
    verifier = createGrantVerifier({ jwksUrl, issuer: 'urn:waybill:test' });
  });
  after(async () => {
    server.close();
    await rm(folder, { recursive: true });
  });
  beforeEach(() => {
    audited = [];
  });

  /** Runs an attempt whose one effect is to say who it acts for; resolves with that, or with the code of the refusal. */
  async function tried(grant: unknown, at: Partial<typeof attempt> = {}, atS = nowS): Promise<string> {
    const headers: Headers =
      grant === undefined ? {} : { [grantHeader]: defaultPayloadConverter.toPayload(grant)! };
    let effects = 0;
    const environment = new MockActivityEnvironment({ ...attempt, ...at });
    const outcome = await environment
      .run(async () => {
        const { inbound } = grantActivityInterceptor(Context.current(), {
          verifier,
          authority,
          audit: { append: async (event) => void audited.push(event) },
          now: () => atS * 1000,
        });
        return inbound!.execute!({ args: [], headers }, async () => {
          effects++;
          return currentGrant().claims.sub;
        });
      })
      .catch((error: unknown) => {
        assert.ok(error instanceof ApplicationFailure);
        return error.type;
      });
    if (outcome !== 'prn_alice') assert.equal(effects, 0, 'no effect before a refusal');
    return outcome as string;
  }

  const altered = (change: object) => ({ ...claims, ...change });
  const boundTo = (change: object) => altered({ tctx: { ...claims.tctx, ...change } });
  const signed = (changed: object) => signer.sign(changed as GrantClaims);

  it('lets a step work under its own grant', async () => {
    assert.equal(await tried(await signed(claims)), 'prn_alice');
    assert.deepEqual(audited, []);
  });

  it('refuses an attempt without a grant, or with something else in its place', async () => {
    for (const nothing of [undefined, '', 7, null, { grant: 'x' }]) {
      assert.equal(await tried(nothing), 'GrantMissing');
    }
    assert.ok(audited.every(({ outcome, actor, tenant }) => outcome === 'denied' && !actor && !tenant));
    assert.equal(audited.length, 5);
  });

  it('refuses a grant that is not signed by the key it names', async () => {
    const other = await generateKeyPair('EdDSA');
    const header = { alg: 'EdDSA', typ: 'grant+jwt', kid };
    assert.equal(
      await tried(await new SignJWT({ ...claims }).setProtectedHeader(header).sign(other.privateKey)),
      'GrantInvalid',
    );
    const genuine = await signed(claims);
    const [head, , signature] = genuine.split('.');
    const payload = Buffer.from(JSON.stringify(altered({ sub: 'prn_bob' }))).toString('base64url');
    for (const forged of [
      `${head}.${payload}.${signature}`,
      genuine.slice(0, -4),
      `${genuine}.x`,
      'x.y.z',
      new UnsecuredJWT({ ...claims }).encode(),
    ]) {
      assert.equal(await tried(forged), 'GrantInvalid', forged.slice(-20));
    }
  });

  it('refuses a token of the right key that is no grant', async () => {
    const key = await importJWK(privateJwk, 'EdDSA');
    for (const header of [{ typ: 'JWT' }, { typ: 'at+jwt' }, {}, { typ: 'grant+jwt', crit: ['x'], x: 1 }]) {
      const token = new SignJWT({ ...claims }).setProtectedHeader({
        alg: 'EdDSA',
        kid,
        ...(header as Partial<JWTHeaderParameters>),
      });
      assert.equal(
        await tried(await token.sign(key, { crit: { x: true } })),
        'GrantInvalid',
        JSON.stringify(header),
      );
    }
  });

  it('refuses claims that are missing, of another issuer or audience, or one too many', async () => {
    const { sub: _, ...nameless } = claims;
    const { tenant: __, ...homeless } = claims.tctx;
    for (const wrong of [
      nameless,
      altered({ tctx: homeless }),
      altered({ iss: 'urn:waybill:other' }),
      altered({ aud: 'other' }),
      altered({ admin: true }),
      boundTo({ steps: ['everything'] }),
    ]) {
      const code = await tried(await signed(wrong));
      assert.ok(code === 'GrantMalformed' || code === 'GrantInvalid', JSON.stringify(wrong).slice(0, 80));
    }
  });

  it('refuses the grant of another workflow, type, namespace or step', async () => {
    const genuine = await signed(claims);
    for (const at of [
      { workflowExecution: { workflowId: 'orders-2', runId: 'run' } },
      { workflowExecution: { workflowId: 'orders-1 ', runId: 'run' } },
      { workflowType: 'fireSchedule' },
      { namespace: 'other' },
    ]) {
      assert.equal(await tried(genuine, at), 'GrantMismatch', JSON.stringify(at));
    }
    assert.equal(await tried(genuine, { activityType: 'publish' }), 'StepNotGranted');
    assert.equal(await tried(await signed(boundTo({ steps: ['ingest'] }))), 'StepNotGranted');
    assert.ok(audited.every(({ actor, txn }) => actor?.id === 'prn_alice' && txn === claims.txn));
  });

  it('refuses a grant whose time is over, but lets the end of its run be recorded', async () => {
    const genuine = await signed(claims);
    assert.equal(await tried(genuine, {}, claims.exp - 1), 'prn_alice');
    assert.equal(await tried(genuine, {}, claims.exp), 'GrantExpired');
    assert.equal(await tried(genuine, { activityType: 'finalize' }, claims.exp), 'prn_alice');
  });

  it('cannot decide without keys, and says so as something to try again', async () => {
    const nowhere = createGrantVerifier({
      jwksUrl: new URL('http://127.0.0.1:1/'),
      issuer: 'urn:waybill:test',
    });
    await assert.rejects(nowhere.verify(await signed(claims)), { code: 'KeysUnavailable' });
  });
});
