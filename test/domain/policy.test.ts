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
const run = (tenant: string) => ({ kind: 'run' as const, id: 'r', tenant, requestedBy: 'prn_bob' });

describe('the interim policy', () => {
  for (const action of ['trigger', 'read', 'cancel'] as const) {
    it(`lets whoever has a role ${action} within their tenant and nowhere else`, () => {
      const decide = (principal: Principal, tenant?: string) =>
        tenantPolicy.decide({ principal, action, ...(tenant !== undefined && { resource: run(tenant) }) })
          .allowed;
      assert.equal(decide(alice), true);
      assert.equal(decide(alice, 'acme'), true);
      assert.equal(decide(alice, 'globex'), false);
      assert.equal(decide(alice, ''), false);
      assert.equal(decide({ ...alice, roles: [] }, 'acme'), false);
      assert.equal(decide({ ...alice, tenant: '' }, ''), false);
    });
  }

  it('denies an action that it does not know, and names no policy for it', () => {
    const decision = tenantPolicy.decide({ principal: alice, action: 'administer' as never });
    assert.deepEqual(decision, { allowed: false, policies: [] });
  });

  it('has the digest of its name', () => {
    const digest = createHash('sha256').update('waybill interim policy 1: own-tenant').digest('hex');
    assert.equal(tenantPolicy.digest, digest);
  });
});
