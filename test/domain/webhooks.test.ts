import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  judge,
  parseRetryAfter,
  placeDelayMs,
  retries,
  retryDelayMs,
} from '../../domain/webhooks/webhookAnswer.ts';
import { deliveryOf, deliveryWorkflowId } from '../../domain/webhooks/webhookDelivery.ts';
import { signedContent, webhookBody } from '../../domain/webhooks/webhookEvent.ts';
import { overlapS, rootsInUse } from '../../domain/webhooks/webhookKey.ts';

const id = 'dlv_0197f3a0-1c2d-7e3f-8a4b-5c6d7e8f9a0b';

describe('what came of an attempt', () => {
  it('is success for 2xx, the end for 410, and a retry for all else', () => {
    const answers = [200, 204, 299, 301, 307, 400, 401, 404, 410, 429, 500, 503].map((status) => [
      status,
      judge({ outcome: 'answered', status }),
    ]);
    assert.deepEqual(
      answers.filter(([, verdict]) => verdict === 'delivered').map(([status]) => status),
      [200, 204, 299],
    );
    assert.deepEqual(
      answers.filter(([, verdict]) => verdict === 'gone').map(([status]) => status),
      [410],
    );
    assert.equal(judge({ outcome: 'unreachable', why: 'ECONNREFUSED' }), 'again');
  });
});

describe('when it is tried again', () => {
  it('grows from seconds to hours, with a quarter of jitter either way', () => {
    assert.equal(retryDelayMs(1, 0.5), 5_000);
    assert.equal(retryDelayMs(1, 0), 3_750);
    assert.equal(retryDelayMs(1, 1), 6_250);
    assert.equal(retryDelayMs(4, 0.5), 135_000);
    assert.equal(retryDelayMs(100, 0.5), retries.maximumMs);
    assert.equal(retryDelayMs(1_000, 1), retries.maximumMs, 'and never longer than Temporal would wait');
  });

  it('makes some 17 attempts in three days', () => {
    let at = 0;
    let attempts = 1;
    while (at + retryDelayMs(attempts, 0.5) <= retries.giveUpAfterMs) at += retryDelayMs(attempts++, 0.5);
    assert.ok(attempts >= 15 && attempts <= 18, `${attempts}`);
  });

  it('lets the receiver ask for more patience, within bounds, and not for less', () => {
    assert.equal(retryDelayMs(1, 0.5, 60_000), 60_000);
    assert.equal(retryDelayMs(4, 0.5, 1_000), 135_000);
    assert.equal(retryDelayMs(1, 0.5, 10 ** 12), retries.maximumMs);
  });

  it('reads Retry-After as seconds or as a date', () => {
    const nowMs = Date.parse('2026-01-01T00:00:00Z');
    assert.equal(parseRetryAfter('120', nowMs), 120_000);
    assert.equal(parseRetryAfter('Thu, 01 Jan 2026 00:01:00 GMT', nowMs), 60_000);
    assert.equal(parseRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', nowMs), 0);
    for (const other of ['soon', '', '-1', undefined, ['1']])
      assert.equal(parseRetryAfter(other, nowMs), undefined);
  });

  it('asks for a place soon at first and every minute in the end', () => {
    assert.equal(placeDelayMs(1, 0.5), 500);
    assert.equal(placeDelayMs(50, 0.5), 60_000);
  });
});

describe('a delivery and its workflow', () => {
  it('name each other', () => {
    const ref = { id, round: 3 };
    assert.deepEqual(deliveryOf('deliverWebhook', deliveryWorkflowId(ref)), ref);
  });

  it('a workflow of another type or name is about no delivery', () => {
    for (const [type, workflowId] of [
      ['runPipeline', `deliver-${id}-1`],
      ['deliverWebhook', `deliver-${id}-0`],
      ['deliverWebhook', `deliver-${id}-01`],
      ['deliverWebhook', `deliver-${id}`],
      ['deliverWebhook', `x-deliver-${id}-1`],
      ['deliverWebhook', `deliver-${id}-1\n`],
      ['deliverWebhook', id],
      ['deliverWebhook', ''],
    ] as const)
      assert.equal(deliveryOf(type, workflowId), undefined, workflowId);
  });
});

describe('an event', () => {
  it('is signed with its id and the time of the attempt', () => {
    const event = {
      id,
      type: 'run.completed',
      timestamp: '2026-01-01T00:00:00.000Z',
      data: { run: 'r' },
    } as const;
    const body = webhookBody(event);
    assert.deepEqual(JSON.parse(body), { type: event.type, timestamp: event.timestamp, data: { run: 'r' } });
    assert.equal(signedContent(id, 1_767_225_600, body), `${id}.1767225600.${body}`);
  });
});

describe('the roots that sign', () => {
  const old = { id: 'old', createdAtS: 1_000 };
  const young = { id: 'young', createdAtS: 2_000 };

  it('are the newest and, for a week, the one before', () => {
    assert.deepEqual(rootsInUse([old], 10 ** 9), [old]);
    assert.deepEqual(rootsInUse([old, young], 2_000), [young, old]);
    assert.deepEqual(rootsInUse([old, young], 2_000 + overlapS - 1), [young, old]);
    assert.deepEqual(rootsInUse([old, young], 2_000 + overlapS), [young]);
    assert.deepEqual(rootsInUse([], 0), []);
  });
});
