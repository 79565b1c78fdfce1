import type { ApprovalManifest } from '../approvals/gate.ts';
import { type DefinitionFacts, type Policy, rolesThatMay } from './policy.ts';
import { PolicyQuery, questionOf } from './policyQuery.ts';

/** A role that may decide by its pipeline, but not by the policy: its approvers are rejected (`Forbidden`). */
export interface RoleWithoutPermit {
  pipeline: string;
  role: string;
}

type Asking = DefinitionFacts & { approval?: Pick<ApprovalManifest, 'by' | 'escalateTo'> };

export function rolesWithoutPermit(policy: Policy, definitions: readonly Asking[]): RoleWithoutPermit[] {
  return definitions.flatMap((definition) => {
    const { id: pipeline, approval } = definition;
    if (!approval) return [];
    const resource = { kind: 'run', pipeline };
    const about = PolicyQuery.parse({ principal: {}, action: 'approve', resource });
    const question = questionOf(about, { principal: 'own', resource: 'own' }, () => definition)!;
    const able = rolesThatMay(policy, question);
    const asked = new Set([...approval.by, ...approval.escalateTo]);
    return [...asked].filter((role) => !able.includes(role)).map((role) => ({ pipeline, role }));
  });
}
