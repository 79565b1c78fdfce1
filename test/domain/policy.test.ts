import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { tenantPolicy } from '../../domain/policy.ts';
import type { Principal } from '../../domain/principal.ts';

const alice: Principal = {
  id: 'prn_alice',
  issuer: 'https://issuer',
  subject: 'alice',
  kind: 'person',
  tenant: 'acme',
  roles: ['data-engineer'],
};

describe('the interim policy', () => {
  it('allows what stays within the tenant, to whoever has a role in it', () => {
    const decide = (principal: Principal, tenant: string) =>
      tenantPolicy.decide({ principal, action: 'read', resource: { kind: 'tenant', tenant } }).allowed;
    assert.equal(decide(alice, 'acme'), true);
    assert.equal(decide(alice, 'globex'), false);
    assert.equal(decide({ ...alice, roles: [] }, 'acme'), false);
    assert.equal(decide({ ...alice, tenant: '' }, ''), false);
    assert.equal(createHash('sha256').update('').digest('hex').length, tenantPolicy.digest.length);
  });
});
