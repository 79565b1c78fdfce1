import { z } from 'zod';
import { type Principal, principalKinds } from '../principal.ts';
import {
  callerActions,
  type DefinitionFacts,
  pipelineResourceOf,
  type Question,
  type Resource,
  taskActions,
} from './policy.ts';

const kind = z.enum(principalKinds);
const name = z.string().min(1).max(255);

/** A pipeline of the project, or as it would be with other labels or an approval. */
const asIf = {
  labels: z.record(z.string(), z.string()).optional(),
  gated: z.boolean().optional(),
};

/** A principal, an action and a resource that a case or an explanation asks the policy about. */
export const PolicyQuery = z.strictObject({
  principal: z.strictObject({
    roles: z.array(name).max(100).default([]),
    kind: kind.default('person'),
    subject: name.default('any-subject'),
    issuer: name.default('https://issuer.example'),
    actor: z
      .strictObject({ kind, subject: name.default('an actor') })
      .optional()
      .describe('Who acts for the principal.'),
  }),
  action: z.enum([...callerActions, ...taskActions]),
  resource: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('tenant') }),
    z.strictObject({ kind: z.literal('pipeline'), id: name, ...asIf }),
    z
      .strictObject({ kind: z.literal('run'), pipeline: name, own: z.boolean().default(false), ...asIf })
      .describe('A run of that pipeline, requested by the principal (`own`) or by another one.'),
    z.strictObject({ kind: z.literal('instance') }),
  ]),
});
export type PolicyQuery = z.infer<typeof PolicyQuery>;

/** Where the principal is, and where that is which they act upon. */
interface Tenants {
  principal: string;
  resource: string;
}

/** The question in terms of what there is; `undefined` where there is no such pipeline. */
export function questionOf(
  { principal, action, resource }: PolicyQuery,
  tenants: Tenants,
  find: (pipeline: string) => DefinitionFacts | undefined,
): Question | undefined {
  const found = resourceOf(resource, tenants.resource, find);
  return found && { principal: principalOf(principal, tenants.principal), action, resource: found };
}

/** No principal has this id. */
const principalId = 'prn_hypothesis';

function principalOf({ actor, ...who }: PolicyQuery['principal'], tenant: string): Principal {
  const { issuer } = who;
  return { ...who, id: principalId, tenant, ...(actor && { actor: { ...actor, id: 'prn_actor', issuer } }) };
}

function resourceOf(
  resource: PolicyQuery['resource'],
  tenant: string,
  find: (pipeline: string) => DefinitionFacts | undefined,
): Resource | undefined {
  if (resource.kind === 'tenant' || resource.kind === 'instance') return { kind: resource.kind, tenant };
  const definition = find(resource.kind === 'run' ? resource.pipeline : resource.id);
  if (!definition) return undefined;
  const { labels, gated } = resource;
  const pipeline = {
    ...pipelineResourceOf(definition, tenant),
    ...(labels && { labels }),
    ...(gated !== undefined && { gated }),
  };
  if (resource.kind === 'pipeline') return pipeline;
  const requestedBy = resource.own ? principalId : 'prn_another';
  return { kind: 'run', id: resource.pipeline, tenant, requestedBy, pipeline };
}
