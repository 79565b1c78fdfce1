import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Context } from '@temporalio/activity';
import { ApplicationFailure, defaultPayloadConverter } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { createGrantVerifier } from '../../../adapters/keys/grantVerifier.ts';
import { createPublishedKeys } from '../../../adapters/keys/publishedKeys.ts';
import { signGrant } from '../../../adapters/keys/signGrant.ts';
import { grantActivityInterceptor } from '../../../adapters/temporal/activityInterceptor.ts';
import type { AuditEvent } from '../../../domain/audit.ts';
import { grantHeader } from '../../../domain/grants/grantHeader.ts';
import type { GrantVerifier } from '../../../domain/ports/grants.ts';
import { startIssuer } from '../../api/issuer.ts';
import { grantOfRun as claims, makeKey, publishKeys } from '../../support/keys.ts';
import { boundTo } from './claims.ts';
import { type Forgery, forgeries } from './forgeries.ts';
import type { Signer } from './signText.ts';

/** The same forgeries as in stack.test.ts, each through the guard of an activity alone. */
describe('a forged grant', () => {
  let server: Awaited<ReturnType<typeof publishKeys>>;
  let verifier: GrantVerifier;
  let matrix: Forgery[];
  let genuine: string;

  before(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const made = await Promise.all([makeKey(), makeKey(), makeKey()]);
    const [key, retired, stranger] = made.map(
      ({ kid, jwk, privateKey }): Signer => ({ kid, x: jwk.x!, privateKey }),
    ) as [Signer, Signer, Signer];
    server = await publishKeys([made[0]!.jwk, { ...made[1]!.jwk, exp: claims.iat }]);
    // Each look at the clock is half a minute after the one before, so that unknown keys may be asked for at once.
    let nowMs = 0;
    const keys = createPublishedKeys(server.url, { now: () => (nowMs += 30_000) });
    verifier = createGrantVerifier({ keys, issuer: claims.iss });
    const signed = (grant: typeof claims) => signGrant(grant, { kid: key.kid, key: key.privateKey });
    genuine = await signed(claims);
    const issuer = await startIssuer();
    matrix = forgeries({
      genuine,
      claims,
      key,
      retired: { ...retired, retiredAtS: claims.iat },
      stranger,
      others: { 'another run': await signed(boundTo(claims, 'orders-2')) },
      accessToken: await issuer.token(),
    });
    await issuer.stop();
  });
  after(() => server.stop());

  /** What becomes of an attempt with one effect: to have worked. */
  async function attempted(grant: string): Promise<{ code: unknown; audited: AuditEvent[] }> {
    const audited: AuditEvent[] = [];
    const environment = new MockActivityEnvironment({
      namespace: 'default',
      workflowExecution: { workflowId: 'orders-1', runId: 'run' },
      workflowType: 'runPipeline',
      activityType: 'ingest',
    });
    const headers = { [grantHeader]: defaultPayloadConverter.toPayload(grant) };
    const code = await environment
      .run(() => {
        const { inbound } = grantActivityInterceptor(Context.current(), {
          verifier,
          authorizer: {
            hasDefinition: () => true,
            isRevoked: () => false,
            decide: () => ({ allowed: true, policies: [], digest: null }),
          },
          audit: { append: async (event) => void audited.push(event) },
          now: () => claims.iat * 1000,
        });
        return inbound!.execute!({ args: [], headers }, async () => 'worked');
      })
      .catch((error: unknown) => (error instanceof ApplicationFailure ? error.type : error));
    return { code, audited };
  }

  it('is not the genuine one, which works', async () => {
    assert.deepEqual(await attempted(genuine), { code: 'worked', audited: [] });
  });

  it('is one of more than two hundred, no two alike', async () => {
    assert.ok(matrix.length >= 200, `${matrix.length}`);
    assert.equal(new Set(matrix.map(({ name }) => name)).size, matrix.length);
    const grants = await Promise.all(matrix.map(({ forge }) => forge('orders-1')));
    assert.equal(new Set(grants).size, matrix.length);
  });

  it('has no effect, whichever it is; each is refused by its code, and audited once', async (t) => {
    for (const { name, code, forge } of matrix) {
      await t.test(`${code}: ${name.slice(0, 80)}`, async () => {
        const { code: refused, audited } = await attempted(await forge('orders-1'));
        assert.equal(refused, code);
        assert.deepEqual(
          audited.map(({ action, outcome, runId, detail }) => [action, outcome, runId, detail.code]),
          [['attempt.denied', 'denied', 'orders-1', code]],
        );
        // Only what a genuine signature says is believed of it.
        const believed = code === 'GrantMismatch' || code === 'StepNotGranted';
        assert.equal(audited[0]!.actor !== null, believed);
      });
    }
  });
});
