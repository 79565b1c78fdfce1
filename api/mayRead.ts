import {
  type DefinitionFacts,
  type Policy,
  pipelineResourceOf,
  runResourceOf,
} from '../domain/policies/policy.ts';
import type { Principal } from '../domain/principal.ts';
import type { Run } from '../domain/runs/run.ts';

/** For what is shown beside what a route is about, and for lists; nobody is told of what is left out. */
export function mayReadRun(policy: Policy, principal: Principal, run: Run): boolean {
  return policy.decide({ principal, action: 'read', resource: runResourceOf(run) }).allowed;
}

export function mayReadPipeline(policy: Policy, principal: Principal, definition: DefinitionFacts): boolean {
  const resource = pipelineResourceOf(definition, principal.tenant);
  return policy.decide({ principal, action: 'read', resource }).allowed;
}
