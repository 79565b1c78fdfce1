import type { Principal } from '../principal.ts';

/** Every action that a policy decides about: what callers do, and what the steps of a run do in their name. */
export const callerActions = [
  'trigger',
  'read',
  'reveal',
  'cancel',
  'resume',
  'approve',
  'schedule',
  'redrive',
  'repair',
  'discard',
  'revoke',
  'administer',
] as const;
export const taskActions = ['ingest', 'validate', 'enrich', 'transform', 'store', 'publish'] as const;
export type Action = (typeof callerActions)[number] | (typeof taskActions)[number];

/** What each action is about. Of anything else it is denied before a policy is asked. */
export const actionResources: Readonly<Record<Action, readonly Resource['kind'][]>> = {
  trigger: ['pipeline'],
  read: ['tenant', 'pipeline', 'run', 'instance'],
  reveal: ['pipeline', 'run'],
  cancel: ['run'],
  resume: ['run'],
  approve: ['run'],
  schedule: ['pipeline'],
  redrive: ['pipeline', 'run'],
  repair: ['pipeline', 'run'],
  discard: ['pipeline', 'run'],
  revoke: ['tenant', 'run', 'instance'],
  administer: ['tenant', 'instance'],
  ingest: ['pipeline'],
  validate: ['pipeline'],
  enrich: ['pipeline'],
  transform: ['pipeline'],
  store: ['pipeline'],
  publish: ['pipeline'],
};

/** Decides whether a principal may do something now. Everything that is not allowed is denied. */
export interface Policy {
  /** Lower-case hex SHA-256 of the set that is in force; a grant names the one that let its run begin. */
  readonly digest: string;
  /** The roles that its set knows. Any other in a token counts for nothing. */
  readonly roles: readonly string[];
  /** An error during evaluation is a denial. Throws `PolicyUnavailable` where the set in force cannot be known. */
  decide(question: Question): Decision;
  /** For administrators: why, why not, and what would be needed. Throws `PolicyUnavailable`. */
  explain(question: Question): Explanation;
}

export interface Question {
  principal: Principal;
  action: Action;
  resource: Resource;
}

/** What is acted on. Its tenant is where the effect would be, so that no policy need guess it. */
export type Resource =
  | { kind: 'tenant'; tenant: string }
  | PipelineResource
  | RunResource
  /** This Waybill as a whole: its keys and its policy. `tenant` is the one that operates it. */
  | { kind: 'instance'; tenant: string };

export interface PipelineResource {
  kind: 'pipeline';
  id: string;
  tenant: string;
  labels: Readonly<Record<string, string>>;
  source: string;
  sink: string;
  /** Whether its runs wait for an approval. */
  gated: boolean;
}

export interface RunResource {
  kind: 'run';
  id: string;
  tenant: string;
  requestedBy: string;
  pipeline: Omit<PipelineResource, 'kind' | 'tenant'>;
}

export interface Decision {
  allowed: boolean;
  /** Ids of the policies that determined the answer; none where nothing allows it. */
  policies: readonly string[];
  /** Of the set that decided. */
  digest: string;
}

/** More than a denied caller learns. Policies come with their texts. */
export interface Explanation {
  allowed: boolean;
  digest: string;
  /** Those that allow it; where it is denied, those that would if no `forbid` stood in the way. */
  permits: { id: string; text: string }[];
  /** Those that stand in the way. */
  forbids: { id: string; text: string }[];
  /** What could not be evaluated, which denies; `policy` is `''` where the question itself is impossible. */
  errors: { policy: string; message: string }[];
  /** Where no permit holds: the declared roles any of which would bring one. */
  roles: readonly string[];
  /** What would lift the forbids, each by itself, once there is a permit. */
  changes: ('approval' | 'a person alone' | 'another requester')[];
}

/** What is deployed together: policies by their ids, and the roles that they may name. Equal sets have one digest. */
export interface PolicySet {
  /** Texts of Cedar by `<file>/<@id>`. */
  policies: Readonly<Record<string, string>>;
  /** Sorted, each once. */
  roles: readonly string[];
}

/** Which policies came, went or read otherwise now, by their ids. */
export function policyDifference(
  before: PolicySet | undefined,
  { policies }: PolicySet,
): { added: string[]; removed: string[]; changed: string[] } {
  const old = before?.policies ?? {};
  return {
    added: Object.keys(policies).filter((id) => !Object.hasOwn(old, id)),
    removed: Object.keys(old).filter((id) => !Object.hasOwn(policies, id)),
    changed: Object.keys(policies).filter((id) => Object.hasOwn(old, id) && old[id] !== policies[id]),
  };
}

/** What policies see of a definition. */
export interface DefinitionFacts {
  id: string;
  labels: Readonly<Record<string, string>>;
  source: { kind: string };
  sink: { kind: string };
  /** The gate at which its runs wait for people, where there is one. */
  approval?: object | null;
}

export function pipelineResourceOf(definition: DefinitionFacts, tenant: string): PipelineResource {
  const { id, labels, source, sink, approval } = definition;
  const gated = approval != null;
  return { kind: 'pipeline', id, tenant, labels, source: source.kind, sink: sink.kind, gated };
}

/** A run is what its own definition makes it, also once the project has another, or none. */
export function runResourceOf({
  id,
  tenant,
  requestedBy,
  definition,
}: {
  id: string;
  tenant: string;
  requestedBy: { id: string };
  definition: DefinitionFacts;
}): RunResource {
  const { kind: _, tenant: __, ...pipeline } = pipelineResourceOf(definition, tenant);
  return { kind: 'run', id, tenant, requestedBy: requestedBy.id, pipeline };
}

/** Which of the roles would let the principal do it, each by itself. */
export function rolesThatMay(policy: Policy, { principal, action, resource }: Question): string[] {
  return policy.roles.filter(
    (role) => policy.decide({ principal: { ...principal, roles: [role] }, action, resource }).allowed,
  );
}
