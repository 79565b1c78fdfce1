import assert from 'node:assert/strict';
import { it } from 'node:test';
import { claimsOfRequester } from '../../domain/grants/claimedRequester.ts';
import type { Principal } from '../../domain/principal.ts';

it('signed claims carry the roles that can decide something, and none of hundreds of others', () => {
  const others = Array.from({ length: 500 }, (_, i) => `Gruppe für ${i}`);
  const principal: Principal = {
    id: 'prn_alice',
    issuer: 'https://issuer.example',
    subject: 'alice',
    kind: 'person',
    tenant: 'acme',
    roles: [...others, 'data-engineer', 'Prüfer'],
  };
  const credential = { tenant: 'acme', principals: ['prn_alice'], issuedAtS: 1 };
  const { roles } = claimsOfRequester(principal, credential, ['auditor', 'data-engineer', 'Prüfer']);
  assert.deepEqual(roles, ['data-engineer', 'Prüfer']);
});
