import type { Principal } from './principal.ts';

/** Decides whether a principal may do something now. Everything that is not allowed is denied. */
export interface Policy {
  /** Lower-case hex SHA-256 of the whole set; a grant names the set that let its run begin. */
  readonly digest: string;
  decide(question: Question): Decision;
}

const actions = ['trigger', 'read', 'cancel'] as const;
export type Action = (typeof actions)[number];

export interface Question {
  principal: Principal;
  action: Action;
  /** The pipeline that is acted on, or whose run is. */
  pipeline?: { id: string; labels: Readonly<Record<string, string>> };
  /** What is acted on; without one the question is about the principal’s own tenant as a whole. */
  resource?: { kind: 'run'; id: string; tenant: string; requestedBy: string };
}

interface Decision {
  allowed: boolean;
  /** Names of the policies that determined the answer. */
  policies: readonly string[];
}

/** Interim set: whoever has a role in a tenant may trigger, read and cancel within that tenant, and nothing else. */
export const tenantPolicy: Policy = Object.freeze({
  digest: 'a7a1cc757f85ea7b1704ff3cbae7eb77a0161410f6fa90ea9578991936e4105d',
  decide({ principal, action, resource }: Question): Decision {
    const placed = principal.tenant !== '' && principal.roles.length > 0;
    const ownTenant = resource === undefined || resource.tenant === principal.tenant;
    const allowed = placed && ownTenant && actions.includes(action);
    return { allowed, policies: allowed ? ['own-tenant'] : [] };
  },
});
