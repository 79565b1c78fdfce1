import { createPolicyEngine } from '../adapters/policy/engine.ts';
import { readPolicies } from '../adapters/policy/readPolicies.ts';
import type { Policy, PolicySet, Question } from '../domain/policies/policy.ts';
import type { Figure } from './figure.ts';

const forMs = 2_000;

/** How many decisions one thread makes: by the shipped policy and by one of a hundred, asked for the first time and again. */
export async function decisions(): Promise<Figure[]> {
  const shipped = await readPolicies();
  const many = createPolicyEngine(withMore(shipped, 100 - Object.keys(shipped.policies).length));
  const few = createPolicyEngine(shipped);
  return [
    {
      name: 'first, shipped policy',
      value: perSecond((i) => few.decide(firstAsked(i))),
      unit: 'decisions/s',
    },
    { name: 'first, 100 policies', value: perSecond((i) => many.decide(firstAsked(i))), unit: 'decisions/s' },
    { name: 'again, shipped policy', value: perSecond(() => few.decide(question)), unit: 'decisions/s' },
  ];
}

const question: Question = {
  principal: {
    id: 'prn_alice',
    issuer: 'https://issuer.example',
    subject: 'alice',
    kind: 'person',
    tenant: 'acme',
    roles: ['data-engineer'],
  },
  action: 'store',
  resource: {
    kind: 'pipeline',
    id: 'orders',
    tenant: 'acme',
    labels: { classification: 'internal' },
    source: 'upload',
    sink: 'postgres',
    gated: false,
  },
};

/** A principal that no question was about yet. */
function firstAsked(i: number): Question {
  return { ...question, principal: { ...question.principal, id: `prn_${i}` } };
}

function perSecond(ask: (i: number) => ReturnType<Policy['decide']>): number {
  const start = performance.now();
  let asked = 0;
  while (performance.now() - start < forMs) {
    for (let i = 0; i < 100; i++) if (!ask(asked++).allowed) throw new Error('denied');
  }
  return (asked / (performance.now() - start)) * 1000;
}

/** As a project that says something about each of its pipelines. */
function withMore(set: PolicySet, count: number): PolicySet {
  const more = Array.from({ length: count }, (_, i): [string, string] => [
    `more/${i}`,
    `@id("${i}") forbid (principal, action, resource in Waybill::Pipeline::"p${i}") unless { principal.kind == Waybill::Kind::"person" };`,
  ]);
  return { ...set, policies: { ...set.policies, ...Object.fromEntries(more) } };
}
