import { z } from 'zod';
import type { DefinitionFacts, Policy } from './policy.ts';
import { PolicyQuery, questionOf } from './policyQuery.ts';

/** What a policy set must answer, as `policies/*.cases.json` of a project says. */
export const PolicyCase = PolicyQuery.extend({
  name: z.string().min(1),
  expect: z.enum(['allow', 'deny']),
  /** These must be among the policies that decided. */
  policies: z.array(z.string()).optional(),
  /** Whether the principal belongs to another tenant than what it acts upon. */
  acrossTenants: z.boolean().default(false),
});
export type PolicyCase = z.infer<typeof PolicyCase>;

export interface CaseResult {
  name: string;
  /** What is wrong; `null` where the answer is the expected one. */
  wrong: string | null;
}

/** Asks each case, and says which policies of the set (`ids`) decided none of them. */
export function tryCases(
  policy: Policy,
  ids: readonly string[],
  cases: readonly PolicyCase[],
  find: (pipeline: string) => DefinitionFacts | undefined,
): { results: CaseResult[]; unexercised: string[] } {
  const exercised = new Set<string>();
  const results = cases.map((one): CaseResult => {
    const tenants = { principal: one.acrossTenants ? 'another' : 'own', resource: 'own' };
    const question = questionOf(one, tenants, find);
    if (!question) return { name: one.name, wrong: 'the project has no such pipeline' };
    const decision = policy.decide(question);
    for (const id of decision.policies) exercised.add(id);
    return { name: one.name, wrong: difference(one, decision) };
  });
  return { results, unexercised: ids.filter((id) => !exercised.has(id)) };
}

function difference(
  expected: PolicyCase,
  { allowed, policies }: ReturnType<Policy['decide']>,
): string | null {
  const by = policies.length > 0 ? `by ${policies.join(', ')}` : 'by no policy';
  if (allowed !== (expected.expect === 'allow')) return `${allowed ? 'allowed' : 'denied'} ${by}`;
  const silent = (expected.policies ?? []).filter((id) => !policies.includes(id));
  return silent.length > 0 ? `decided ${by}, and not by ${silent.join(', ')}` : null;
}
