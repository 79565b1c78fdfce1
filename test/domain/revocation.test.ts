import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { credentialOf, successorOf } from '../../domain/grants/grant.ts';
import { type Credential, type StandingRevocation, voids } from '../../domain/revocation.ts';
import { grantOfRun } from '../support/keys.ts';

describe('what a revocation makes void', () => {
  const credential: Credential = {
    tenant: 'acme',
    principals: ['prn_alice', 'prn_copilot'],
    issuedAtS: 1_000,
    grants: ['jti-1', 'orders-1'],
    key: 'key-1',
  };
  const until = (seconds: number) => new Date(seconds * 1000).toISOString();
  const cases: [what: string, change: Partial<StandingRevocation>, is: boolean][] = [
    ['who acts for themselves', { target: 'prn_alice' }, true],
    ['one who acts for another', { target: 'prn_copilot' }, true],
    ['another principal', { target: 'prn_alic' }, false],
    ['the same person in another tenant', { target: 'prn_alice', tenant: 'globex' }, false],
    ['one of a tenant with a similar name', { target: 'prn_alice', tenant: 'acm' }, false],
    ['one run', { kind: 'grant', target: 'orders-1' }, true],
    ['one grant', { kind: 'grant', target: 'jti-1' }, true],
    ['a run of another tenant', { kind: 'grant', target: 'orders-1', tenant: 'globex' }, false],
    ['a principal that is called like the run', { kind: 'principal', target: 'orders-1' }, false],
    ['a grant that is called like the person', { kind: 'grant', target: 'prn_alice' }, false],
    ['a key, whatever the tenant', { kind: 'key', target: 'key-1', tenant: null }, true],
    ['another key', { kind: 'key', target: 'key-2', tenant: null }, false],
    ['a delegation', { kind: 'delegation', target: 'prn_alice' }, false],
    ['who signed out earlier', { target: 'prn_alice', tenant: null, issuedUntil: until(999) }, false],
    ['who signed out in that second', { target: 'prn_alice', tenant: null, issuedUntil: until(1_000) }, true],
    [
      'who signed out later, in every tenant',
      { target: 'prn_alice', tenant: null, issuedUntil: until(1_001) },
      true,
    ],
    [
      'the person of an agent that signed out',
      { target: 'prn_copilot', tenant: null, issuedUntil: until(1_001) },
      true,
    ],
    ['another person who signed out', { target: 'prn_bob', tenant: null, issuedUntil: until(1_001) }, false],
  ];
  for (const [what, change, is] of cases)
    it(`${what}: ${is}`, () => {
      const revocation = {
        id: 'rev_1',
        kind: 'principal',
        target: '',
        tenant: 'acme',
        issuedUntil: null,
      } as const;
      assert.equal(voids({ ...revocation, ...change }, credential), is);
    });
});

describe('what was given to count when its giver is away', () => {
  const given = { tenant: 'acme', principals: ['prn_bob'], issuedAtS: 1_000, outlastsSession: true };
  const revoked = { id: 'rev_1', kind: 'principal', target: 'prn_bob', tenant: null } as const;

  it('stands when they sign out, and not once their right is withdrawn', () => {
    assert.equal(voids({ ...revoked, issuedUntil: new Date(2_000_000).toISOString() }, given), false);
    assert.equal(voids({ ...revoked, issuedUntil: null }, given), true);
  });
});

describe('a sign-out', () => {
  const signedOutAt = 1_800_000_000;
  const signOut: StandingRevocation = {
    id: 'rev_1',
    kind: 'principal',
    target: grantOfRun.sub,
    tenant: null,
    issuedUntil: new Date(signedOutAt * 1000).toISOString(),
  };
  const minted = (req: { iat: number }, iat: number) => ({
    ...grantOfRun,
    iat,
    req: { ...grantOfRun.req, ...req },
  });
  const isVoid = (claims: typeof grantOfRun) => voids(signOut, credentialOf({ claims, key: 'k' }));

  it('makes void what is asked for after it with a token from before it', () => {
    assert.equal(isVoid(minted({ iat: signedOutAt - 60 }, signedOutAt + 60)), true);
    assert.equal(isVoid(minted({ iat: signedOutAt + 1 }, signedOutAt + 60)), false);
  });

  it('leaves the successor to who has signed in again', () => {
    const before = minted({ iat: signedOutAt - 60 }, signedOutAt - 60);
    const fresh = { jti: 'g2', iat: signedOutAt + 90, roles: [], policyDigest: 'p' };
    assert.equal(isVoid(successorOf(before, { ...fresh, issuedAtS: signedOutAt - 60 })), true);
    assert.equal(isVoid(successorOf(before, { ...fresh, issuedAtS: signedOutAt + 80 })), false);
  });
});
