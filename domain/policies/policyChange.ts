import { canonicalJson } from '../canonicalJson.ts';
import { type Principal, principalKinds } from '../principal.ts';
import {
  type Action,
  actionResources,
  type DefinitionFacts,
  type Policy,
  pipelineResourceOf,
  type Question,
  type Resource,
} from './policy.ts';

/** A permission that a role gains or loses. */
export interface PolicyChange {
  change: 'gains' | 'loses';
  /** `null`: a principal without a declared role. */
  role: string | null;
  as: ActsAs;
  /** Only the principal with this name in a policy; `null`: any principal. */
  named: string | null;
  /** Whether the principal belongs to another tenant. */
  acrossTenants: boolean;
  action: Action;
  on: On;
  /** The pipeline that it is or is of; `null` for the tenant and the instance. */
  pipeline: string | null;
}

type On = 'pipeline' | 'run' | 'own run' | 'tenant' | 'instance';

const actsAs = [...principalKinds, 'person through an agent'] as const;
type ActsAs = (typeof actsAs)[number];

/** What policies say beside roles, kinds, labels and actions. */
export interface Names {
  /** Whether a policy speaks of that very pipeline. Pipelines that are alike otherwise are asked about once. */
  ofPipeline(id: string): boolean;
  /** The principals that policies name. */
  identities: readonly Identity[];
}

type Identity = Partial<Pick<Principal, 'id' | 'issuer' | 'subject'>>;

/**
 * All changes between two policies. Asks for each role of either, by itself, and for none; as a person, a service, an agent, and a
 * person through an agent; for any principal and for each that a policy names; each action on each pipeline, its runs, the tenant and the
 * instance; from the own tenant and from another. A principal with several roles may see more changes, where a policy forbids by role.
 */
export function changesBetween(
  before: Policy | undefined,
  after: Policy,
  pipelines: readonly DefinitionFacts[],
  names: Names,
): PolicyChange[] {
  const roles = [...new Set([...(before?.roles ?? []), ...after.roles])].sort();
  const resources = resourcesOf(pipelines, names);
  const changeFor = (question: Question): PolicyChange['change'] | undefined => {
    const [was, is] = [before, after].map((policy) => policy?.decide(question).allowed ?? false);
    return was === is ? undefined : is ? 'gains' : 'loses';
  };
  return whoOf(roles, names.identities).flatMap(({ principal, unnamed, ...who }) =>
    resources.flatMap(({ on, of, resource }) =>
      actionsOn(resource).flatMap((action): PolicyChange[] => {
        const change = changeFor({ principal, action, resource });
        // What every principal gains or loses is not repeated for the named ones.
        if (!change || (unnamed && changeFor({ principal: unnamed, action, resource }) === change)) return [];
        return of.map((pipeline) => ({ change, ...who, action, on, pipeline }));
      }),
    ),
  );
}

type Who = Pick<PolicyChange, 'role' | 'as' | 'named' | 'acrossTenants'> & {
  principal: Principal;
  /** The same without a name, where this one has one. */
  unnamed: Principal | undefined;
};

function whoOf(roles: readonly string[], identities: readonly Identity[]): Who[] {
  return [...roles, null].flatMap((role) => [
    ...actsAs.flatMap((as) => {
      const unnamed = principalOf(role, as, {}, 'own');
      const of = { role, as, acrossTenants: false };
      return [
        { ...of, named: null, principal: unnamed, unnamed: undefined },
        ...identities.map((identity) => ({
          ...of,
          named: Object.entries(identity)
            .map(([attribute, value]) => `${attribute} ${value}`)
            .join(', '),
          principal: principalOf(role, as, identity, 'own'),
          unnamed,
        })),
      ];
    }),
    {
      role,
      as: 'person',
      named: null,
      acrossTenants: true,
      principal: principalOf(role, 'person', {}, 'another'),
      unnamed: undefined,
    },
  ]);
}

const principalId = 'prn_any';

/** The agent has the same name as the person that it acts for: a policy may mean either. */
function principalOf(role: string | null, as: ActsAs, identity: Identity, tenant: string): Principal {
  const who = { id: principalId, issuer: 'https://issuer.example', subject: 'any-subject', ...identity };
  return {
    ...who,
    kind: as === 'person through an agent' ? 'person' : as,
    tenant,
    roles: role === null ? [] : [role],
    ...(as === 'person through an agent' && { actor: { ...who, kind: 'agent' as const } }),
  };
}

function actionsOn({ kind }: Resource): Action[] {
  return (Object.keys(actionResources) as Action[]).filter((action) =>
    actionResources[action].includes(kind),
  );
}

function resourcesOf(
  pipelines: readonly DefinitionFacts[],
  names: Names,
): { on: On; of: (string | null)[]; resource: Resource }[] {
  const tenant = 'own';
  const alike = Map.groupBy(pipelines, ({ id, labels, source, sink }) =>
    names.ofPipeline(id) ? id : canonicalJson([labels, source.kind, sink.kind]),
  );
  return [
    { on: 'tenant', of: [null], resource: { kind: 'tenant', tenant } },
    { on: 'instance', of: [null], resource: { kind: 'instance', tenant } },
    ...[...alike.values()].flatMap((group): ReturnType<typeof resourcesOf> => {
      const resource = pipelineResourceOf(group[0]!, tenant);
      const run = { kind: 'run' as const, id: 'run', tenant, pipeline: resource };
      const of = group.map(({ id }) => id);
      return [
        { on: 'pipeline', of, resource },
        { on: 'run', of, resource: { ...run, requestedBy: 'prn_another' } },
        { on: 'own run', of, resource: { ...run, requestedBy: principalId } },
      ];
    }),
  ];
}
