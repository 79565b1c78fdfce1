import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { policyDigest } from '../../../adapters/policy/digest.ts';
import { type LivePolicy, startLivePolicy } from '../../../adapters/policy/livePolicy.ts';
import { readPolicies } from '../../../adapters/policy/readPolicies.ts';
import { createAuditLog } from '../../../adapters/postgres/audit.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { applyPolicySet } from '../../../adapters/postgres/rights/policySets.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import type { PolicySet, Question } from '../../../domain/policies/policy.ts';
import { layCable } from '../../api/cable.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';
import { until } from '../../support/until.ts';

const question: Question = {
  principal: {
    id: 'prn_alice',
    issuer: 'https://issuer',
    subject: 'alice',
    kind: 'person',
    tenant: 'acme',
    roles: ['auditor'],
  },
  action: 'read',
  resource: { kind: 'tenant', tenant: 'acme' },
};

describe('the policy in force', { concurrency: true }, async () => {
  const shipped = await readPolicies();
  const without = (id: string): PolicySet => {
    const { [id]: _, ...policies } = shipped.policies;
    return { ...shipped, policies };
  };
  const frozen: PolicySet = {
    ...shipped,
    policies: { ...shipped.policies, 'freeze/all': 'forbid (principal, action, resource);' },
  };

  /** A database and a policy that is read from it, over a cable that can be cut. */
  async function live() {
    const postgres = await startPostgresForTest();
    const cable = await layCable(new URL(postgres.workerUrl));
    const pool = connectPool(postgres.workerUrl, { connectionsMax: 1, name: 'test' });
    const loaded: { digest: string; before: string }[] = [];
    const errors: unknown[] = [];
    const policy = await startLivePolicy({
      database: cable.url,
      process: 'test',
      audit: createAuditLog(tenantsOf(pool)),
      onLoaded: (change) => loaded.push(change),
      onError: (error) => errors.push(error),
    });
    return {
      postgres,
      cable,
      policy,
      loaded,
      errors,
      async end() {
        await policy.close();
        await cable.cut();
        await pool.end();
        await postgres.stop();
      },
    };
  }

  it('is another within moments of being applied, and both are recorded', async () => {
    const { postgres, policy, loaded, end } = await live();
    try {
      const before = policyDigest(shipped);
      assert.equal(policy.digest, before);
      assert.equal(policy.decide(question).allowed, true);
      const applied = await applyPolicySet(postgres.migratorUrl, frozen);
      assert.deepEqual(applied, { digest: policyDigest(frozen), before });
      await until('it is denied', () => !policy.decide(question).allowed, 10_000);
      assert.deepEqual(policy.decide(question).policies, ['freeze/all']);
      assert.equal(policy.digest, policyDigest(frozen));
      // What was in force once can be so again; what is in force already changes nothing.
      await applyPolicySet(postgres.migratorUrl, shipped);
      await applyPolicySet(postgres.migratorUrl, shipped);
      await until('it is allowed again', () => policy.decide(question).allowed, 10_000);
      assert.deepEqual(
        loaded.map(({ digest }) => digest),
        [policyDigest(frozen), before],
      );
      await until('both are recorded', async () => (await events(postgres)).length === 5, 10_000);
      const [first, second, ...rest] = await events(postgres);
      assert.equal(first!.action, 'policy.applied');
      assert.deepEqual(
        [second!.action, second!.detail.added, second!.detail.removed],
        ['policy.applied', ['freeze/all'], []],
      );
      assert.deepEqual(rest.map(({ action }) => action).sort(), [
        'policy.applied',
        'policy.loaded',
        'policy.loaded',
      ]);
      assert.ok(rest.some(({ detail }) => detail.process === 'test' && detail.before === before));
    } finally {
      await end();
    }
  });

  it('is not known for long without the database, and is again once that is back', async () => {
    const { policy, cable, end } = await live();
    try {
      await policy.refresh();
      const refreshedAt = performance.now();
      await cable.cut();
      await until('it is not known', () => unavailable(policy));
      assert.ok(performance.now() - refreshedAt > 7_000, 'a short outage is no outage');
      await cable.mend();
      await until('it is known again', () => !unavailable(policy) && policy.decide(question).allowed);
    } finally {
      await end();
    }
  });

  it('decides nothing where the newest set cannot be used: the set before does not stay', async () => {
    const { postgres, policy, errors, end } = await live();
    try {
      await asSuperuser(
        postgres,
        `INSERT INTO waybill.policy_set (digest, policies, roles) VALUES ('x', '{"a/a": "permit (principal"}', '["r"]')`,
      );
      await until('it is not known', () => unavailable(policy));
      assert.equal((errors[0] as { code: string }).code, 'PolicyInvalid');
      await applyPolicySet(postgres.migratorUrl, without('base/auditors'));
      await until('it is known again', () => !unavailable(policy) && !policy.decide(question).allowed);
    } finally {
      await end();
    }
  });

  describe('at the start', { concurrency: 1 }, () => {
    let postgres: TestPostgres;
    before(async () => {
      postgres = await startPostgresForTest();
    });
    after(() => postgres.stop());

    const refused: Record<string, [sql: string, says: RegExp]> = {
      'where there is none': ['DELETE FROM waybill.policy_set', /waybill apply/],
      'on one that does not validate': [
        `INSERT INTO waybill.policy_set (digest, policies, roles) VALUES ('x', '{"a/a":
          "permit (principal in Waybill::Role::\\"none\\", action, resource);"}', '["chief"]')`,
        /a\/a: entity .*"none".*valid entity eids: "chief"/,
      ],
      'on one that was changed since': [
        `UPDATE waybill.policy_set SET roles = '["chief", "auditor", "operator", "data-engineer", "data-steward"]'`,
        /not the one that was applied/,
      ],
    };
    for (const [what, [sql, says]] of Object.entries(refused)) {
      it(`is refused ${what}`, async () => {
        await asSuperuser(postgres, sql);
        const options = { process: 'test', onLoaded() {}, onError() {}, audit: { append: async () => {} } };
        await assert.rejects(startLivePolicy({ ...options, database: postgres.apiUrl }), (error) => {
          const { code, detail } = error as { code: string; detail: string };
          assert.equal(code, 'PolicyInvalid');
          assert.match(detail, says);
          return true;
        });
        await asSuperuser(postgres, 'DELETE FROM waybill.policy_set');
        await applyPolicySet(postgres.migratorUrl, shipped);
      });
    }

    it('cannot be written by a role that decides by it', async () => {
      for (const url of [postgres.apiUrl, postgres.workerUrl])
        for (const sql of [
          `INSERT INTO waybill.policy_set (digest, policies, roles) VALUES ('x', '{}', '[]')`,
          `UPDATE waybill.policy_set SET policies = '{}'`,
          'DELETE FROM waybill.policy_set',
        ])
          await assert.rejects(query(url, sql), { code: '42501' });
    });
  });
});

interface Event {
  action: string;
  detail: Record<string, unknown>;
}

async function events(postgres: TestPostgres): Promise<Event[]> {
  return (await query(postgres.superuserUrl, 'SELECT action, detail FROM waybill.audit_event ORDER BY id'))
    .rows;
}

function asSuperuser(postgres: TestPostgres, sql: string) {
  return query(postgres.superuserUrl, sql);
}

async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

function unavailable(policy: LivePolicy): boolean {
  try {
    policy.decide(question);
    return false;
  } catch (error) {
    assert.equal((error as { code: string }).code, 'PolicyUnavailable');
    return true;
  }
}
