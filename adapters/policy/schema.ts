import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SchemaJson, schemaToJson } from '@cedar-policy/cedar-wasm/nodejs';

/** The roles of a project that declares none. */
export const defaultRoles: readonly string[] = Object.freeze(shippedRoles());

/** What policies may speak of, with these roles and no others. */
export function schemaOf(roles: readonly string[]): SchemaJson<string> {
  const { Waybill: shipped } = shippedSchema();
  return {
    Waybill: { ...shipped!, entityTypes: { ...shipped!.entityTypes, Role: { enum: [...roles] } } },
  };
}

function shippedRoles(): string[] {
  const role = shippedSchema().Waybill!.entityTypes.Role as { enum: string[] };
  return role.enum.toSorted();
}

function shippedSchema(): SchemaJson<string> {
  const answer = schemaToJson(readFileSync(join(import.meta.dirname, 'schema.cedarschema'), 'utf8'));
  if (answer.type === 'success') return answer.json;
  throw new Error(`schema.cedarschema: ${answer.errors.map(({ message }) => message).join('; ')}`);
}
