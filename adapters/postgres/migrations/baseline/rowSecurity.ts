/** The tenant of the session. `nullif`, because a setting that was made once in a session and taken back reads as an empty text. */
export const here = `nullif(current_setting('waybill.tenant', true), '')`;

/**
 * API and workers see the rows of the tenant that their session or transaction names in `waybill.tenant`, and none where it names
 * none; they write no others. What must look across tenants runs as the role `waybill_relay`.
 */
export function forTenants(table: string, roles = 'waybill_api, waybill_worker'): string {
  return `ALTER TABLE waybill.${table} ENABLE ROW LEVEL SECURITY;
  CREATE POLICY tenant ON waybill.${table} TO ${roles} USING (tenant = ${here});`;
}
