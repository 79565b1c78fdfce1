import { preparsePolicySet, preparseSchema, statefulIsAuthorized } from '@cedar-policy/cedar-wasm/nodejs';
import type { PolicySet } from '../../domain/policies/policy.ts';
import type { CedarRequest } from './cedarRequest.ts';
import { schemaOf } from './schema.ts';

/** What Cedar made of a request. */
export interface Evaluation {
  allowed: boolean;
  /** Ids of the policies that hold and determine the answer, sorted. */
  reasons: string[];
  /** What went wrong, by the id of the policy, or by `''` where the request itself does not fit the schema. */
  errors: { policy: string; message: string }[];
}

/** Parses a set for this thread; Cedar keeps it under `name` until another set takes it. */
export function prepare(name: string, set: PolicySet): void {
  preparseSchema(name, schemaOf(set.roles));
  preparsePolicySet(name, { staticPolicies: { ...set.policies } });
}

/**
 * A `forbid` that fails to evaluate would be skipped, so any error denies. A question that does not fit the schema,
 * such as cancelling a tenant, is denied before any policy is asked.
 */
export function evaluate(name: string, request: CedarRequest): Evaluation {
  const answer = statefulIsAuthorized({
    ...request,
    preparsedSchemaName: name,
    validateRequest: true,
    preparsedPolicySetId: name,
  });
  if (answer.type === 'failure') {
    const errors = answer.errors.map(({ message }) => ({ policy: '', message }));
    return { allowed: false, reasons: [], errors };
  }
  const { decision, diagnostics } = answer.response;
  const errors = diagnostics.errors.map(({ policyId, error }) => ({
    policy: policyId,
    message: error.message,
  }));
  return {
    allowed: decision === 'allow' && errors.length === 0,
    reasons: diagnostics.reason.sort(),
    errors,
  };
}
