import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MockActivityEnvironment } from '@temporalio/testing';
import { createWebhookDelivery } from '../../activities/deliver.ts';
import { digestOf } from '../../activities/run.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { GrantClaims } from '../../domain/grants/grant.ts';
import type { AttemptFailure, Claim } from '../../domain/ports/deliveries.ts';
import type { DelegationClaims } from '../../domain/schedules/delegation.ts';
import { describeCallback } from '../../domain/webhooks/callback.ts';
import { grantOfRun } from '../support/keys.ts';

const url = 'https://hooks.example/a';
const links = { self: 'https://waybill.test/v1/runs/orders-1' };
const stewards = 'https://chat.example/stewards';
const callbackDigest = digestOf(describeCallback({ url, links }));
const claim: Claim = {
  id: 'dlv_1',
  round: 1,
  tenant: 'acme',
  runId: 'orders-1',
  scheduleId: null,
  url,
  grant: 'signed',
  attempt: 1,
  event: {
    id: 'dlv_1',
    type: 'run.completed',
    timestamp: '2026-01-01T00:00:00Z',
    data: { run: 'orders-1', links },
  },
};

const consent: DelegationClaims = {
  iss: 'urn:waybill:test',
  aud: 'waybill',
  iat: 1_800_000_000,
  nbf: 1_800_000_000,
  exp: 1_800_000_060,
  jti: 'dlg_00000000-0000-0000-0000-000000000000',
  sub: 'prn_alice',
  req: grantOfRun.req,
  tenant: 'acme',
  schedule: 'daily',
  pipeline: 'orders',
  definitionDigest: 'd',
  termsDigest: 't',
};

/** What becomes of an attempt at what the row says, where the grant says that. */
async function deliver(row: Partial<Claim>, tctx: Partial<GrantClaims['tctx']> | WaybillError) {
  const sent: string[] = [];
  const givenUp: unknown[] = [];
  const courier = createWebhookDelivery({
    delivery: () => claim,
    deliveries: {
      claim: async () => ({ outcome: 'claimed', claim: { ...claim, ...row } }),
      delivered: async () => {},
      failed: async () => {},
      abandon: async (_, failure?: AttemptFailure) => void givenUp.push(failure?.code),
    },
    publicUrl: 'https://waybill.test',
    definitions: {
      list: () => [],
      listDigests: () => [],
      find: () => undefined,
      require: (id, digest) => {
        if (digest !== 'd') throw new WaybillError('DefinitionUnavailable');
        return { manifest: { id, approval: { notify: stewards } } } as never;
      },
    },
    grants: {
      async verify() {
        if (tctx instanceof WaybillError) throw tctx;
        return { claims: { ...grantOfRun, tctx: { ...grantOfRun.tctx, ...tctx } }, key: 'k' };
      },
    },
    delegations: {
      async verify() {
        if (tctx instanceof WaybillError) throw tctx;
        return { claims: { ...consent, callbackDigest: tctx.callbackDigest }, key: 'k' };
      },
    },
    sender: {
      async send(message) {
        sent.push(message.url);
        return { outcome: 'answered', status: 204 };
      },
    },
  });
  const outcome = await new MockActivityEnvironment().run(courier.deliver).catch((error) => error.code);
  return { outcome, sent, givenUp };
}

describe('an event goes out', () => {
  it('to the receiver that the grant of its run names', async () => {
    assert.deepEqual(await deliver({}, { callbackDigest }), {
      outcome: 'delivered',
      sent: [url],
      givenUp: [],
    });
  });

  it('to no other, whatever the database says, and with no other links', async () => {
    const refused = { outcome: 'dead-lettered', sent: [], givenUp: ['CallbackNotGranted'] };
    const { event } = claim;
    for (const row of [
      { url: 'https://elsewhere.example/a' },
      { url: `${url}/` },
      { runId: 'orders-2' },
      { tenant: 'globex' },
      { event: { ...event, data: { ...event.data, links: { self: 'https://phish.example/' } } } },
      { event: { ...event, data: { run: 'orders-1' } } },
    ])
      assert.deepEqual(await deliver(row, { callbackDigest }), refused, JSON.stringify(row));
    assert.deepEqual(await deliver({}, {}), refused, 'the run has no callback');
    assert.deepEqual(await deliver({}, new WaybillError('GrantInvalid')), refused, 'no key has signed that');
  });

  it('to the receiver that the owner of its schedule has agreed to, and to no other', async () => {
    const event = { ...claim.event, type: 'schedule.blocked' as const };
    const row = { runId: null, scheduleId: 'daily', event };
    assert.deepEqual(await deliver(row, { callbackDigest }), {
      outcome: 'delivered',
      sent: [url],
      givenUp: [],
    });
    const refused = { outcome: 'dead-lettered', sent: [], givenUp: ['CallbackNotGranted'] };
    for (const bent of [
      { scheduleId: 'hourly' },
      { tenant: 'globex' },
      { url: stewards },
      { event: { ...event, data: {} } },
    ])
      assert.deepEqual(await deliver({ ...row, ...bent }, { callbackDigest }), refused, JSON.stringify(bent));
    assert.deepEqual(await deliver(row, {}), refused, 'the definition names no receiver');
  });

  it('about an approval, to the receiver in the definition of the run, with the links of the run and no others', async () => {
    const runLinks = {
      self: 'https://waybill.test/v1/runs/orders-1',
      events: 'https://waybill.test/v1/runs/orders-1/events',
      audit: 'https://waybill.test/v1/runs/orders-1/audit',
    };
    const told = (row: Partial<Claim>, type: 'approval.requested' | 'run.failed', of = runLinks) =>
      deliver({ event: { ...claim.event, type, data: { links: of } }, url: stewards, ...row }, {});
    assert.deepEqual(await told({}, 'approval.requested'), {
      outcome: 'delivered',
      sent: [stewards],
      givenUp: [],
    });
    const refused = { outcome: 'dead-lettered', sent: [], givenUp: ['CallbackNotGranted'] };
    assert.deepEqual(await told({}, 'run.failed'), refused);
    assert.deepEqual(await told({ url: 'https://elsewhere.example/' }, 'approval.requested'), refused);
    const phish = { ...runLinks, audit: 'https://phish.example/' };
    assert.deepEqual(await told({}, 'approval.requested', phish), refused);
  });

  it('later, where it cannot be known now', async () => {
    const answer = await deliver({}, new WaybillError('KeysUnavailable'));
    assert.deepEqual(answer, { outcome: 'KeysUnavailable', sent: [], givenUp: [] });
  });
});
