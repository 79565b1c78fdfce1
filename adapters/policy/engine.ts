import { preparsePolicySet, preparseSchema, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import type { Decision, Policy, PolicySet } from '../../domain/policy.ts';
import { cedarRequest } from './cedarRequest.ts';
import { policyDigest } from './digest.ts';
import { schemaOf } from './schema.ts';
import { checkStrictly } from './strictly.ts';

/** Decisions remembered by one engine; the oldest go first. About 10 MB when full. */
const rememberedMax = 10_000;

/**
 * Decides by one set, which never changes: another set is another engine. Parsed once; Cedar keeps what is parsed for the
 * thread that asks, by name. Throws `PolicyInvalid` unless the set validates strictly.
 */
export function createPolicyEngine(set: PolicySet): Policy {
  checkStrictly(set);
  const digest = policyDigest(set);
  const roles = new Set(set.roles);
  preparseSchema(digest, schemaOf(set.roles));
  preparsePolicySet(digest, { staticPolicies: { ...set.policies } });
  const remembered = new Map<string, Decision>();
  return {
    digest,
    roles: set.roles,
    decide(question) {
      const request = cedarRequest(question, roles);
      const key = JSON.stringify(request);
      const known = remembered.get(key);
      if (known) return known;
      const decision = Object.freeze(ask(digest, request));
      if (remembered.size >= rememberedMax) remembered.delete(remembered.keys().next().value!);
      remembered.set(key, decision);
      return decision;
    },
  };
}

/**
 * A `forbid` that fails to evaluate would be skipped, so any error denies. A question that does not fit the schema,
 * such as cancelling a tenant, is denied before any policy is asked.
 */
function ask(digest: string, request: ReturnType<typeof cedarRequest>): Decision {
  const answer = statefulIsAuthorized({
    ...request,
    preparsedSchemaName: digest,
    validateRequest: true,
    preparsedPolicySetId: digest,
  });
  if (answer.type === 'failure') return { allowed: false, policies: [], digest };
  const { decision, diagnostics } = answer.response;
  const failed = diagnostics.errors.map(({ policyId }) => policyId);
  if (failed.length > 0) return { allowed: false, policies: failed.sort(), digest };
  return { allowed: decision === 'allow', policies: diagnostics.reason.sort(), digest };
}
