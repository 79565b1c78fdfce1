import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { createPolicyEngine } from '../../adapters/policy/engine.ts';
import { namesIn } from '../../adapters/policy/names.ts';
import { readPolicies } from '../../adapters/policy/readPolicies.ts';
import { changeLines } from '../../cli/output/policyText.ts';
import type { DefinitionFacts, PolicySet } from '../../domain/policies/policy.ts';
import { changesBetween, type PolicyChange } from '../../domain/policies/policyChange.ts';

const pipeline = (id: string, labels: Record<string, string> = {}): DefinitionFacts => ({
  id,
  labels,
  source: { kind: 'upload' },
  sink: { kind: 'postgres' },
});
const pipelines = [pipeline('orders'), pipeline('refunds'), pipeline('salaries', { secret: 'yes' })];

describe('what changes from one policy to another', async () => {
  const shipped = await readPolicies();
  const withMore = (...policies: string[]): PolicySet => ({
    ...shipped,
    policies: {
      ...shipped.policies,
      ...Object.fromEntries(policies.map((text, i) => [`more/${i}`, `@id("${i}") ${text}`])),
    },
  });
  const changes = (before: PolicySet | undefined, after: PolicySet, of = pipelines): PolicyChange[] =>
    changesBetween(
      before && createPolicyEngine(before),
      createPolicyEngine(after),
      of,
      namesIn([before, after]),
    );
  const lines = (before: PolicySet | undefined, after: PolicySet) =>
    changeLines(changes(before, after)).map(stripVTControlCharacters);

  it('is nothing between equal ones, and everything where there was none', () => {
    assert.deepEqual(changes(shipped, shipped), []);
    const all = changes(undefined, shipped);
    assert.ok(all.every(({ change, acrossTenants }) => change === 'gains' && !acrossTenants));
    assert.deepEqual(new Set(all.map(({ role }) => role)), new Set(shipped.roles));
  });

  it('is said in one line where it is alike', () => {
    const noCancel = withMore('forbid (principal, action == Waybill::Action::"cancel", resource);');
    assert.deepEqual(lines(shipped, noCancel), [
      '- loses  data-engineer, data-steward, operator: cancel on runs of orders, refunds, salaries',
    ]);
    assert.deepEqual(lines(noCancel, shipped), [
      '+ gains  data-engineer, data-steward, operator: cancel on runs of orders, refunds, salaries',
    ]);
  });

  it('shows labels, kinds, agents and single pipelines', () => {
    const stricter = withMore(
      'forbid (principal, action == Waybill::Action::"read", resource) when { resource.hasTag("secret") } unless { principal in Waybill::Role::"auditor" };',
      'forbid (principal, action == Waybill::Action::"trigger", resource == Waybill::Pipeline::"ref\\u{75}nds") when { principal has actor };',
      'permit (principal, action == Waybill::Action::"revoke", resource is Waybill::Tenant) when { principal.kind == Waybill::Kind::"service" };',
    );
    assert.deepEqual(lines(shipped, stricter), [
      '+ gains  auditor, data-engineer, data-steward, a principal without a role as service: revoke on tenant',
      '- loses  data-engineer, data-steward, operator: read on pipeline and runs of salaries',
      '- loses  data-engineer as person through an agent: trigger on pipeline refunds',
    ]);
  });

  it('finds the principals that a policy names, in each form', () => {
    const named: Record<string, string> = {
      'subject mallory': 'principal.subject == "mallory"',
      'subject svc-x': 'principal.subject like "svc-*"',
      'subject a': '["a", "b"].contains(principal.subject)',
      'id prn_mallory': 'principal == Waybill::Principal::"prn_mallory"',
      'subject m, issuer https://i': 'principal.issuer == "https://i" && principal.subject == "m"',
      'subject bot': 'principal has actor && principal.actor.subject == "bot"',
    };
    for (const [name, condition] of Object.entries(named)) {
      const found = changes(
        shipped,
        withMore(`permit (principal, action == Waybill::Action::"read", resource) when { ${condition} };`),
        [],
      );
      assert.ok(
        found.some(({ change, named, role }) => change === 'gains' && named === name && role === null),
        name,
      );
      assert.ok(
        found.every(({ named }) => named !== null),
        name,
      );
    }
  });

  it('notices a boundary between tenants that is gone', () => {
    const { 'boundary/own-tenant-only': _, ...policies } = shipped.policies;
    const found = changes(shipped, { ...shipped, policies });
    assert.ok(
      found.length > 0 && found.every(({ acrossTenants, change }) => acrossTenants && change === 'gains'),
    );
    assert.match(changeLines(found).map(stripVTControlCharacters)[0]!, /of another tenant/);
  });
});
