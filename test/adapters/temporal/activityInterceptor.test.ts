import assert from 'node:assert/strict';
import { before, beforeEach, describe, it } from 'node:test';
import { CompleteAsyncError, Context } from '@temporalio/activity';
import { ApplicationFailure, defaultPayloadConverter, type Headers } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { createGrantVerifier } from '../../../adapters/keys/grantVerifier.ts';
import { signGrant } from '../../../adapters/keys/signGrant.ts';
import {
  currentGrant,
  type Guard,
  grantActivityInterceptor,
} from '../../../adapters/temporal/activityInterceptor.ts';
import type { AttemptReports } from '../../../adapters/temporal/reportAttempts.ts';
import type { AuditEvent } from '../../../domain/audit.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { GrantClaims } from '../../../domain/grants/grant.ts';
import { faultHeader, grantHeader } from '../../../domain/grants/grantHeader.ts';
import type { Authorizer } from '../../../domain/ports/authorizer.ts';
import type { GrantVerifier } from '../../../domain/ports/grants.ts';
import { grantOfRun, makeKey } from '../../support/keys.ts';

const attempt = {
  namespace: 'default',
  workflowExecution: { workflowId: 'orders-1', runId: 'run' },
  workflowType: 'runPipeline',
  activityType: 'store',
};
const claims = grantOfRun;
const nowS = claims.iat;

/** Everything that is granted still holds. */
const authorizer: Authorizer = {
  hasDefinition: () => true,
  isRevoked: () => false,
  decide: () => ({ allowed: true, policies: ['test'], digest: 'p' }),
};

describe('the check before every attempt of a step', () => {
  let sign: (grant: GrantClaims) => Promise<string>;
  let verifier: GrantVerifier;
  let audited: AuditEvent[];

  before(async () => {
    // Refusals are logged, and here there is nothing but refusals.
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const { kid, privateKey, publicKey } = await makeKey();
    sign = (grant) => signGrant(grant, { kid, key: privateKey });
    const found = { kid, key: publicKey, retiredAtS: undefined };
    verifier = createGrantVerifier({ keys: { find: async () => found }, issuer: 'urn:waybill:test' });
  });
  beforeEach(() => {
    audited = [];
  });

  /** Runs an attempt that only says who it acts for; resolves with that, or with the code of the refusal. */
  async function tried(
    grant: unknown,
    at: Partial<typeof attempt> = {},
    atS = nowS,
    beside: Record<string, unknown> = {},
    today = authorizer,
  ): Promise<string> {
    const texts = { ...(grant !== undefined && { [grantHeader]: grant }), ...beside };
    const headers: Headers = Object.fromEntries(
      Object.entries(texts).map(([name, value]) => [name, defaultPayloadConverter.toPayload(value)!]),
    );
    let effects = 0;
    const environment = new MockActivityEnvironment({ ...attempt, ...at });
    const outcome = await environment
      .run(async () => {
        const { inbound } = grantActivityInterceptor(Context.current(), {
          verifier,
          authorizer: today,
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
  const signed = (changed: object) => sign(changed as GrantClaims);

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

  it('refuses what the verifier refuses, and takes nothing that it says for true', async () => {
    const [head, , signature] = (await signed(claims)).split('.');
    const payload = Buffer.from(JSON.stringify(altered({ sub: 'prn_bob' }))).toString('base64url');
    assert.equal(await tried(`${head}.${payload}.${signature}`), 'GrantInvalid');
    assert.equal(await tried('x.y.z'), 'GrantMalformed');
    assert.deepEqual(
      audited.map(({ detail, actor, tenant }) => [detail.code, actor, tenant]),
      [
        ['GrantInvalid', null, null],
        ['GrantMalformed', null, null],
      ],
    );
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

  it('rejects an expired grant, but lets the end of its run be recorded', async () => {
    const genuine = await signed(claims);
    assert.equal(await tried(genuine, {}, claims.exp - 1), 'prn_alice');
    assert.equal(await tried(genuine, {}, claims.exp), 'GrantExpired');
    assert.equal(await tried(genuine, { activityType: 'finalize' }, claims.exp), 'prn_alice');
  });

  it('rejects by a revocation, and resumes, only by what is known after it has asked', async () => {
    const genuine = await signed(boundTo({ steps: ['store', 'resume'] }));
    const knowing = (known: boolean, truth: boolean) => {
      const of = { revoked: known, refreshed: 0 };
      const today = {
        ...authorizer,
        isRevoked: () => of.revoked,
        refresh: async () => {
          of.revoked = truth;
          of.refreshed++;
        },
      };
      return Object.assign(of, { today });
    };
    for (const [step, known, truth, outcome, refreshed] of [
      ['store', true, false, 'prn_alice', 1],
      ['store', true, true, 'GrantRevoked', 1],
      ['store', false, false, 'prn_alice', 0],
      ['resume', true, false, 'prn_alice', 1],
      ['resume', false, true, 'GrantRevoked', 1],
    ] as const) {
      const of = knowing(known, truth);
      assert.equal(await tried(genuine, { activityType: step }, nowS, {}, of.today), outcome);
      assert.equal(of.refreshed, refreshed, `${step} ${known}`);
    }
    assert.deepEqual(
      audited.map(({ detail }) => detail.activityType),
      ['store', 'resume'],
    );
  });

  it('refuses an activity that belongs to no workflow, whatever it carries', async () => {
    const nowhere = { inWorkflow: false, workflowExecution: undefined, workflowType: undefined };
    const alone = nowhere as unknown as typeof attempt;
    assert.equal(await tried(await signed(claims), alone), 'GrantMismatch');
    assert.equal(audited[0]!.runId, null);
  });

  it('refuses what its workflow found to be signed for something else, whatever it says', async () => {
    for (const fault of ['arguments', '', 7, null]) {
      const outcome = await tried(await signed(claims), {}, nowS, { [faultHeader]: fault });
      assert.equal(outcome, 'GrantMismatch', String(fault));
    }
    assert.ok(audited.every(({ actor, detail }) => actor?.id === 'prn_alice' && detail.fault));
  });

  it('reports a failed attempt of its own run, also one that its checks stop, and none of another run', async () => {
    const reported: unknown[] = [];
    const reports: AttemptReports = {
      failed: async (run, error) => void reported.push([run, (error as ApplicationFailure).type]),
      succeeded: async (run) => void reported.push([run, 'succeeded']),
    };
    const grant = await signed(claims);
    const under = (
      info: Partial<typeof attempt>,
      guard: Partial<Guard<GrantClaims>>,
      work = async () => {},
    ) => {
      const headers = { [grantHeader]: defaultPayloadConverter.toPayload(grant)! };
      return new MockActivityEnvironment({ ...attempt, ...info })
        .run(() => {
          const { inbound } = grantActivityInterceptor(Context.current(), {
            ...{ verifier, authorizer, audit: { append: async () => {} }, now: () => nowS * 1000, reports },
            ...guard,
          });
          return inbound!.execute!({ args: [], headers }, work);
        })
        .catch(() => {});
    };
    const unavailable = () => {
      throw new WaybillError('RevocationsUnavailable');
    };
    await under({}, {}, async () => {
      throw new WaybillError('DatabaseUnavailable');
    });
    await under({}, { authorizer: { ...authorizer, isRevoked: unavailable } });
    await under({}, {});
    await under({ workflowExecution: { workflowId: 'orders-2', runId: 'run' } }, {});
    const run = { tenant: claims.tctx.tenant, runId: claims.tctx.workflowId };
    assert.deepEqual(reported, [
      [run, 'DatabaseUnavailable'],
      [run, 'RevocationsUnavailable'],
      [run, 'succeeded'],
    ]);
  });

  it('leaves the failures of an application as they are, and hides its own', async () => {
    const environment = new MockActivityEnvironment(attempt);
    const under = async (guard: Partial<Guard<GrantClaims>>, work: () => Promise<unknown>) => {
      const headers = { [grantHeader]: defaultPayloadConverter.toPayload(await signed(claims))! };
      return environment.run(() => {
        const { inbound } = grantActivityInterceptor(Context.current(), {
          ...{ verifier, authorizer, audit: { append: async () => {} }, now: () => nowS * 1000 },
          ...guard,
        });
        return inbound!.execute!({ args: [], headers }, work);
      });
    };
    const later = new CompleteAsyncError();
    await assert.rejects(
      under({}, () => Promise.reject(later)),
      (error) => error === later,
    );
    const theirs = new RangeError('theirs');
    await assert.rejects(
      under({}, () => Promise.reject(theirs)),
      (error) => error === theirs,
    );
    const broken = { verify: () => Promise.reject(new Error('a secret of the verifier')) };
    await assert.rejects(
      under({ verifier: broken }, async () => assert.fail('it was let in')),
      { type: 'Internal', message: /^Something went wrong/ },
    );
  });
});
