import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type GrantKey, publicJwk, signingKey, stateOf } from '../../domain/grants/grantKey.ts';
import { stepTokenClaims } from '../../domain/grants/stepToken.ts';
import { grantOfRun } from '../support/keys.ts';

const key = (kid: string, signsFromS: number, retiredAtS: number | null = null): GrantKey => ({
  kid,
  x: `x-${kid}`,
  createdAtS: signsFromS - 30,
  signsFromS,
  retiredAtS,
  endorsement: null,
});
const none = () => false;

describe('the key that signs', () => {
  const handedOver = [key('b', 100), key('a', 0, 100)];
  const cases: [string, readonly GrantKey[], number, string[], string | undefined][] = [
    ['is none where there is none', [], 50, [], undefined],
    ['is none before the first begins', [key('a', 100)], 99, [], undefined],
    ['is the one before until the next begins', handedOver, 99, [], 'a'],
    ['is the next from then on', handedOver, 100, [], 'b'],
    ['is no revoked one', handedOver, 100, ['b'], undefined],
    ['is none that has retired, even without another', [key('a', 0, 100)], 100, [], undefined],
    ['is the newest of those that may', [key('a', 0, 130), key('b', 100)], 110, [], 'b'],
    ['is the older one while the newer is revoked', [key('a', 0, 130), key('b', 100)], 110, ['b'], 'a'],
    [
      'is one and the same where two begin at once',
      [key('a', 0), { ...key('b', 0), createdAtS: 0 }],
      5,
      [],
      'b',
    ],
  ];
  for (const [name, keys, atS, revoked, expected] of cases)
    it(name, () => {
      const isRevoked = (kid: string) => revoked.includes(kid);
      assert.equal(signingKey(keys, atS, isRevoked)?.kid, expected);
      assert.equal(signingKey(keys.toReversed(), atS, isRevoked)?.kid, expected);
    });
});

it('a key is next, active, retired, and revoked whatever else it is', () => {
  const states = [99, 100, 199, 200].map((atS) => stateOf(key('a', 100, 200), atS, none));
  assert.deepEqual(states, ['next', 'active', 'active', 'retired']);
  assert.equal(
    stateOf(key('a', 100, 200), 99, () => true),
    'revoked',
  );
});

it('a key is for everybody’s use from before it signs until ten minutes after it has retired', () => {
  const isForUse = (atS: number, isRevoked = none) =>
    publicJwk(key('a', 100, 200), atS, isRevoked).use === 'sig';
  assert.deepEqual(
    [70, 200, 799, 800].map((atS) => isForUse(atS)),
    [true, true, true, false],
  );
  assert.equal(
    isForUse(150, () => true),
    false,
  );
  assert.deepEqual(publicJwk(key('a', 100), 150, none), {
    kty: 'OKP',
    crv: 'Ed25519',
    x: 'x-a',
    kid: 'a',
    alg: 'EdDSA',
    use: 'sig',
    iat: 70,
    nbf: 100,
  });
});

it('a step token lives five minutes, and no longer than its grant', () => {
  const asked = { audience: 'https://a.test', step: 'fetch', workload: 'worker', jti: 't1' };
  const { exp } = grantOfRun;
  assert.equal(stepTokenClaims(grantOfRun, { ...asked, nowS: exp - 1_000 }).exp, exp - 700);
  assert.equal(stepTokenClaims(grantOfRun, { ...asked, nowS: exp - 10 }).exp, exp);
});
