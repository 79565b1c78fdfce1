import type { Credential } from '../../../domain/revocation.ts';
import type { Params } from '../../../domain/sql.ts';

/**
 * The rule `voids` of the domain as a condition within a statement: whether a committed revocation revokes the
 * credential. Give its parameters by `credentialParams`.
 */
export const isRevokedSql = `EXISTS (
    SELECT FROM waybill.revoked v
     WHERE v.lifted_at IS NULL
       AND v.target = ANY(:ofPrincipals::text[] || :ofGrants::text[] || :ofKey::text || :ofDelegation::text)
       AND CASE v.kind
         WHEN 'key' THEN v.target = :ofKey
         WHEN 'principal' THEN v.target = ANY(:ofPrincipals)
         WHEN 'grant' THEN v.target = ANY(:ofGrants)
         WHEN 'delegation' THEN v.target = :ofDelegation
         ELSE false
       END
       AND (v.tenant IS NULL OR v.tenant = :ofTenant::text)
       AND (v.issued_until IS NULL
         OR v.issued_until >= to_timestamp(:issuedAtS::double precision)))`;

export function credentialParams({
  tenant,
  principals,
  issuedAtS,
  outlastsSession,
  grants = [],
  key,
  delegation,
}: Credential): Params {
  return {
    ofTenant: tenant,
    ofPrincipals: principals,
    issuedAtS: outlastsSession ? null : issuedAtS,
    ofGrants: grants,
    ofKey: key ?? null,
    ofDelegation: delegation ?? null,
  };
}
