import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type SchemaJson, schemaToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { connectors } from '../../connectors/index.ts';

/** The roles of a project that declares none. */
export const defaultRoles: readonly string[] = Object.freeze(shippedRoles());

/** What policies may speak of: these roles, and the kinds of sources and sinks that there are, and no others. */
export function schemaOf(roles: readonly string[]): SchemaJson<string> {
  const { Waybill: shipped } = shippedSchema();
  const enums = {
    Role: [...roles],
    Source: connectors.sources.map(({ kind }): string => kind),
    Sink: connectors.sinks.map(({ kind }) => kind),
  };
  const declared = Object.fromEntries(
    Object.entries(enums).map(([name, values]) => [name, { enum: values }]),
  );
  return { Waybill: { ...shipped!, entityTypes: { ...shipped!.entityTypes, ...declared } } };
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
