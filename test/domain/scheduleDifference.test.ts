import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ScheduleTerms } from '../../domain/schedules/schedule.ts';
import {
  type Declared,
  type Standing,
  scheduleDifference,
} from '../../domain/schedules/scheduleDifference.ts';

const nowMs = Date.parse('2026-01-01T00:00:00Z');
const inDays = (days: number) => new Date(nowMs + days * 86_400_000).toISOString();
const person = (name: string) => ({
  id: `prn_${name}`,
  issuer: 'https://id',
  subject: name,
  kind: 'person' as const,
});

const declared = (more: Partial<Declared> = {}): Declared => ({
  id: 'countries',
  pipeline: 'countries',
  terms: ScheduleTerms.parse({ cron: '0 6 * * *' }),
  definitionDigest: 'd',
  boundDigest: 'b',
  ...more,
});
const standing = (more: Partial<Standing> = {}): Standing => ({
  id: 'countries',
  pipeline: 'countries',
  terms: ScheduleTerms.parse({ cron: '0 6 * * *' }),
  note: null,
  declared: true,
  owner: person('alice'),
  delegation: {
    id: 'dlg_1',
    givenAt: inDays(-1),
    expiresAt: inDays(89),
    definitionDigest: 'd',
    boundDigest: 'b',
  },
  state: 'active',
  reason: null,
  revision: 1,
  ...more,
});
const blocked = (code: string) => ({ state: 'blocked' as const, reason: { code, message: '' } });

/** `alice` is the owner, `bob` is not. */
function between(ours: Declared[], there: Standing[], me = 'alice') {
  const { changes, waiting } = scheduleDifference(ours, there, `prn_${me}`, nowMs);
  return [
    ...changes.map((one) => [
      one.change,
      one.change === 'delete' ? one.standing.id : one.declared.id,
      ...(one.change === 'renew' ? [one.why] : []),
    ]),
    ...waiting.map(({ standing: { id }, why }) => ['waits', id, why]),
  ];
}

describe('what apply would do about schedules', () => {
  test('is nothing where they are as declared', () => {
    for (const me of ['alice', 'bob']) assert.deepEqual(between([declared()], [standing()], me), []);
    assert.deepEqual(between([declared()], [standing({ state: 'paused' })]), [], 'paused ones stay so');
  });

  test('makes what is missing, and ends what is declared no more', () => {
    assert.deepEqual(between([declared()], []), [['create', 'countries']]);
    assert.deepEqual(between([], [standing()]), [['delete', 'countries']]);
    assert.deepEqual(between([], [standing({ declared: false })]), [], 'what was made by hand stays');
  });

  test('changes what differs, for every owner', () => {
    const terms = ScheduleTerms.parse({ cron: '0 7 * * *' });
    for (const me of ['alice', 'bob']) {
      assert.deepEqual(between([declared({ terms })], [standing()], me), [['update', 'countries']]);
      assert.deepEqual(between([declared({ note: 'why' })], [standing()], me), [['update', 'countries']]);
      assert.deepEqual(between([declared()], [standing({ declared: false })], me), [['update', 'countries']]);
    }
    assert.deepEqual(between([declared()], [standing({ pipeline: 'orders' })]), [
      ['waits', 'countries', 'ScheduleExists'],
    ]);
  });

  test('renews a consent that does not hold, for its owner alone', () => {
    const { delegation } = standing();
    const lacking: [Partial<Standing>, string][] = [
      [{ delegation: null }, 'ConsentRequired'],
      [blocked('ConsentRequired'), 'ConsentRequired'],
      [blocked('DelegationRevoked'), 'DelegationRevoked'],
      [
        { delegation: { ...delegation!, definitionDigest: 'before', boundDigest: 'before' } },
        'DefinitionChanged',
      ],
      [
        { delegation: { ...delegation!, definitionDigest: 'before', boundDigest: null } },
        'DefinitionChanged',
      ],
      [{ delegation: { ...delegation!, expiresAt: inDays(0) } }, 'DelegationExpired'],
    ];
    for (const [more, why] of lacking) {
      assert.deepEqual(between([declared()], [standing(more)]), [['renew', 'countries', why]]);
      assert.deepEqual(between([declared()], [standing(more)], 'bob'), [['waits', 'countries', why]]);
    }
  });

  test('renews one that ends soon, of which others hear nothing', () => {
    const soon = standing({ delegation: { ...standing().delegation!, expiresAt: inDays(13) } });
    assert.deepEqual(between([declared()], [soon]), [['renew', 'countries', 'DelegationEndsSoon']]);
    assert.deepEqual(between([declared()], [soon], 'bob'), []);
  });

  test('does not renew what is blocked for another reason', () => {
    for (const me of ['alice', 'bob'])
      assert.deepEqual(between([declared()], [standing(blocked('PolicyDenied'))], me), [
        ['waits', 'countries', 'PolicyDenied'],
      ]);
  });
});
