import type { Action } from '../domain/policy.ts';

/**
 * Every route and what stands before its handler. The router is driven by this table and serves nothing else, so
 * that a missing check shows as a gap here. Order of the checks: identity, resource, policy, body, idempotency.
 */
// biome-ignore format: a row a route, so that a gap is seen.
export const routeTable = {
  //             path                                    who                what the policy is asked                     body                                     asked twice                audit
  createRun:     { ...post('/v1/pipelines/:id/runs'),    identity: 'token', action: 'trigger', resource: 'pipeline', bodyMaxBytes: 4_194_304, uploads: true,  repeat: 'idempotency-key', audit: 'run.accepted' },
  listPipelines: { ...get('/v1/pipelines'),              identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  getPipeline:   { ...get('/v1/pipelines/:id'),          identity: 'token', action: 'read',    resource: 'pipeline', bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  listRuns:      { ...get('/v1/runs'),                   identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  getRun:        { ...get('/v1/runs/:id'),               identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  followRun:     { ...get('/v1/runs/:id/events'),        identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  listRunAudit:  { ...get('/v1/runs/:id/audit'),         identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  cancelRun:     { ...post('/v1/runs/:id/cancel'),       identity: 'token', action: 'cancel',  resource: 'run',      bodyMaxBytes: 1_024,     uploads: false, repeat: 'changes nothing', audit: 'run.cancel-requested' },
  health:        { ...get('/healthz'),                   identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  ready:         { ...get('/readyz'),                    identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  openapi:       { ...get('/openapi.json'),              identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
  keys:          { ...get('/.well-known/jwks.json'),     identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         uploads: false, repeat: 'safe',            audit: null },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof routeTable;

export interface Route {
  method: 'GET' | 'POST';
  path: string;
  identity: 'token' | 'none';
  action: Action | null;
  /** What the policy is asked about; `:id` names it, in the caller’s own tenant. */
  resource: 'pipeline' | 'run' | 'tenant' | null;
  bodyMaxBytes: number;
  /** Whether the body may instead be data of any length, which is streamed. */
  uploads: boolean;
  repeat: 'safe' | 'changes nothing' | 'idempotency-key';
  /** The audit event that commits with the effect. Denials are audited as `access.denied` on every route. */
  audit: string | null;
}

function get<P extends string>(path: P) {
  return { method: 'GET' as const, path };
}

function post<P extends string>(path: P) {
  return { method: 'POST' as const, path };
}
