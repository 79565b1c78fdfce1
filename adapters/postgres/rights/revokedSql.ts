import type { Credential } from '../../../domain/revocation.ts';

/**
 * The rule `voids` of the domain as a condition within a statement: whether a revocation that has committed makes the
 * credential void. Its parameters begin at `$first`; give them by `voidedValues`.
 */
export function voided(first: number): string {
  const [tenant, principals, issuedAtS, grants, key, delegation] = [0, 1, 2, 3, 4, 5].map(
    (i) => `$${first + i}`,
  );
  return `EXISTS (
    SELECT FROM waybill.revoked v
     WHERE v.lifted_at IS NULL AND v.target = ANY(${principals}::text[] || ${grants}::text[] || ${key}::text || ${delegation}::text)
       AND CASE v.kind
         WHEN 'key' THEN v.target = ${key}
         WHEN 'principal' THEN v.target = ANY(${principals})
         WHEN 'grant' THEN v.target = ANY(${grants})
         WHEN 'delegation' THEN v.target = ${delegation}
         ELSE false
       END
       AND (v.tenant IS NULL OR v.tenant = ${tenant}::text)
       AND (v.issued_until IS NULL
         OR v.issued_until >= to_timestamp(${issuedAtS}::double precision)))`;
}

export function voidedValues({
  tenant,
  principals,
  issuedAtS,
  outlastsSession,
  grants = [],
  key,
  delegation,
}: Credential): unknown[] {
  return [tenant, principals, outlastsSession ? null : issuedAtS, grants, key ?? null, delegation ?? null];
}
