import type { EntityJson, EntityUid, StatefulAuthorizationCall } from '@cedar-policy/cedar-wasm/nodejs';
import type { Question, Resource } from '../../domain/policies/policy.ts';
import type { Principal } from '../../domain/principal.ts';

export type CedarRequest = Pick<
  StatefulAuthorizationCall,
  'principal' | 'action' | 'resource' | 'context' | 'entities'
>;

/**
 * A question in Cedar’s terms, as `schema.cedarschema` has them, with the two entities that it is about and no others.
 * `roles` are the declared ones. It says all that an answer can depend on, and so serves as the key of a memo.
 */
export function cedarRequest(
  { principal, action, resource }: Question,
  roles: ReadonlySet<string>,
): CedarRequest {
  const who = principalEntity(principal, roles);
  const what = resourceEntity(resource);
  return {
    principal: who.uid as EntityUid,
    action: uid('Action', action),
    resource: what.uid as EntityUid,
    context: {},
    entities: [who, what],
  };
}

function principalEntity(principal: Principal, declared: ReadonlySet<string>): EntityJson {
  const { id, tenant, kind, issuer, subject, actor } = principal;
  const roles = [...new Set(principal.roles)].filter((role) => declared.has(role)).sort();
  return {
    uid: uid('Principal', id),
    attrs: {
      id,
      tenant,
      kind: ref('Kind', kind),
      issuer,
      subject,
      ...(actor && {
        actor: {
          id: actor.id,
          kind: ref('Kind', actor.kind),
          issuer: actor.issuer,
          subject: actor.subject,
        },
      }),
    },
    parents: roles.map((role) => uid('Role', role)),
  };
}

function resourceEntity(resource: Resource): EntityJson {
  const { kind, tenant } = resource;
  if (kind === 'tenant') return { uid: uid('Tenant', tenant), attrs: { tenant }, parents: [] };
  if (kind === 'instance') return { uid: uid('Instance', 'waybill'), attrs: { tenant }, parents: [] };
  const pipeline = kind === 'run' ? resource.pipeline : resource;
  const attrs = {
    tenant,
    source: ref('Source', pipeline.source),
    sink: ref('Sink', pipeline.sink),
    gated: pipeline.gated,
  };
  const tags = { ...pipeline.labels };
  if (kind === 'pipeline') return { uid: uid('Pipeline', pipeline.id), attrs, tags, parents: [] };
  return {
    // All runs of a pipeline by one requester are the same to a policy, so that a list asks once.
    uid: uid('Run', pipeline.id),
    attrs: { ...attrs, requester: resource.requestedBy },
    tags,
    parents: [uid('Pipeline', pipeline.id)],
  };
}

function uid(type: string, id: string): { type: string; id: string } {
  return { type: `Waybill::${type}`, id };
}

function ref(type: string, id: string): { __entity: { type: string; id: string } } {
  return { __entity: uid(type, id) };
}
