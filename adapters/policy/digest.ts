import { createHash } from 'node:crypto';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { PolicySet } from '../../domain/policies/policy.ts';

/** Lower-case hex SHA-256 over the canonical JSON of a set. */
export function policyDigest({ policies, roles }: PolicySet): string {
  return createHash('sha256').update(canonicalJson({ policies, roles })).digest('hex');
}
