import type { Decision, Policy, PolicySet } from '../../domain/policies/policy.ts';
import { type CedarRequest, cedarRequest } from './cedarRequest.ts';
import { policyDigest } from './digest.ts';
import { evaluate, prepare } from './evaluate.ts';
import { explain } from './explain.ts';
import { validatePolicies } from './validatePolicies.ts';

/** Decisions remembered by one engine; the oldest go first. About 10 MB when full. */
const rememberedMax = 10_000;

/**
 * Decides by one set, which never changes: another set is another engine. What was decided before is remembered, since
 * nothing but the question has a say in it. Throws `PolicyInvalid` unless the set validates strictly.
 */
export function createPolicyEngine(set: PolicySet): Policy {
  validatePolicies(set);
  const digest = policyDigest(set);
  const roles = new Set(set.roles);
  prepare(digest, set);
  const remembered = new Map<string, Decision>();
  return {
    digest,
    roles: set.roles,
    decide(question) {
      const request = cedarRequest(question, roles);
      const key = JSON.stringify(request);
      const known = remembered.get(key);
      if (known) return known;
      const decision = Object.freeze(decideAnew(digest, request));
      if (remembered.size >= rememberedMax) remembered.delete(remembered.keys().next().value!);
      remembered.set(key, decision);
      return decision;
    },
    explain: (question) => explain(set, digest, question),
  };
}

function decideAnew(digest: string, request: CedarRequest): Decision {
  const { allowed, reasons, errors } = evaluate(digest, request);
  const failed = errors.map(({ policy }) => policy).filter(Boolean);
  // Of a policy that failed it is not known what it would have said, so it is what decided.
  return { allowed, policies: errors.length > 0 ? failed.sort() : reasons, digest };
}
