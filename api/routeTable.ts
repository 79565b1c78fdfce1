import type { ResourceKind } from '../application/findResource.ts';
import type { Action } from '../domain/policies/policy.ts';

/**
 * Every route and the checks before its handler. The router is driven by this table and serves nothing else, so
 * that a missing check shows as a gap here. Order of the checks: identity, resource, policy, body, idempotency.
 */
// biome-ignore format: a row a route, so that a gap is seen.
export const routeTable = {
  //                 path                                               who                what the policy is asked                 body                                           asked twice                audit
  createRun:         { ...post('/v1/pipelines/:id/runs'),               identity: 'token', action: 'trigger', resource: 'pipeline', bodyMaxBytes: 4_194_304, body: 'json or data', repeat: 'idempotency-key', audit: 'run.accepted' },
  listPipelines:     { ...get('/v1/pipelines'),                         identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  getPipeline:       { ...get('/v1/pipelines/:id'),                     identity: 'token', action: 'read',    resource: 'pipeline', bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  listQuality:       { ...get('/v1/pipelines/:id/quality'),             identity: 'token', action: 'read',    resource: 'pipeline', bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  whoami:            { ...get('/v1/whoami'),                            identity: 'token', action: null,      resource: 'self',     bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  listRuns:          { ...get('/v1/runs'),                              identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  getRun:            { ...get('/v1/runs/:id'),                          identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  inputOffset:       { ...head('/v1/runs/:id/input'),                   identity: 'token', action: 'trigger', resource: 'run',      bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  sendInput:         { ...put('/v1/runs/:id/input'),                    identity: 'token', action: 'trigger', resource: 'run',      bodyMaxBytes: 0,         body: 'data',         repeat: 'at an offset', audit: 'run.upload-completed' },
  appendInput:       { ...patch('/v1/runs/:id/input'),                  identity: 'token', action: 'trigger', resource: 'run',      bodyMaxBytes: 0,         body: 'data',         repeat: 'at an offset', audit: 'run.upload-completed' },
  followRun:         { ...get('/v1/runs/:id/events'),                   identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  listRunAudit:      { ...get('/v1/runs/:id/audit'),                    identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  countRejections:   { ...get('/v1/runs/:id/rejections'),               identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  cancelRun:         { ...post('/v1/runs/:id/cancel'),                  identity: 'token', action: 'cancel',  resource: 'run',      bodyMaxBytes: 1_024,     body: 'json',         repeat: 'idempotent', audit: 'run.cancel-requested' },
  resumeRun:         { ...post('/v1/runs/:id/resume'),                  identity: 'token', action: 'resume',  resource: 'run',      bodyMaxBytes: 1_024,     body: 'json',         repeat: 'idempotent', audit: 'run.resume-requested' },
  retryRun:          { ...post('/v1/runs/:id/retry'),                   identity: 'token', action: 'read',    resource: 'run',      bodyMaxBytes: 1_024,     body: 'json',         repeat: 'idempotent', audit: 'run.accepted' },
  cancelRuns:        { ...post('/v1/runs/cancel'),                      identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 1_024,     body: 'json',         repeat: 'idempotent', audit: 'run.cancel-requested' },
  moveRuns:          { ...post('/v1/runs/move'),                        identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 1_024,     body: 'json',         repeat: 'idempotent', audit: 'run.accepted' },
  holdRun:           { ...post('/v1/runs/:id/hold'),                    identity: 'token', action: 'administer', resource: 'tenant', bodyMaxBytes: 4_096,    body: 'json',         repeat: 'idempotent', audit: 'run.held' },
  releaseRun:        { ...del('/v1/runs/:id/hold'),                     identity: 'token', action: 'administer', resource: 'tenant', bodyMaxBytes: 0,        body: 'none',         repeat: 'idempotent', audit: 'run.released' },
  listHolds:         { ...get('/v1/legal-holds'),                       identity: 'token', action: 'administer', resource: 'tenant', bodyMaxBytes: 0,        body: 'none',         repeat: 'safe',            audit: null },
  listLimits:        { ...get('/v1/limits'),                            identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  listKeys:          { ...get('/v1/keys'),                              identity: 'token', action: 'administer', resource: 'instance', bodyMaxBytes: 0,      body: 'none',         repeat: 'safe',            audit: null },
  rotateKeys:        { ...post('/v1/keys/rotations'),                   identity: 'token', action: 'administer', resource: 'instance', bodyMaxBytes: 1_024,  body: 'json',         repeat: 'idempotent', audit: 'key.rotated' },
  rotateWebhookKeys: { ...post('/v1/webhook-keys/rotations'),           identity: 'token', action: 'administer', resource: 'instance', bodyMaxBytes: 1_024,  body: 'json',         repeat: 'idempotent', audit: 'webhook-key.rotated' },
  revoke:            { ...post('/v1/revocations'),                      identity: 'token', action: 'revoke',  resource: 'tenant',   bodyMaxBytes: 16_384,    body: 'json',         repeat: 'idempotent', audit: 'revocation.created' },
  listRevocations:   { ...get('/v1/revocations'),                       identity: 'token', action: 'revoke',  resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  restore:           { ...del('/v1/revocations/:id'),                   identity: 'token', action: 'revoke',  resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'idempotent', audit: 'revocation.lifted' },
  backchannelLogout: { ...post('/v1/backchannel-logout'),               identity: 'body',  action: null,      resource: null,       bodyMaxBytes: 16_384,    body: 'form',         repeat: 'rejected',      audit: 'principal.signed-out' },
  token:             { ...post('/token'),                               identity: 'body',  action: null,      resource: null,       bodyMaxBytes: 32_768,    body: 'form',         repeat: 'rejected',      audit: 'step-token.issued' },
  explain:           { ...post('/v1/policy/explanations'),              identity: 'token', action: 'administer', resource: 'tenant', bodyMaxBytes: 16_384,   body: 'json',         repeat: 'safe',            audit: null },
  listDeliveries:    { ...get('/v1/deliveries'),                        identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  getDelivery:       { ...get('/v1/deliveries/:id'),                    identity: 'token', action: 'read',    resource: 'delivery', bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  redeliver:         { ...post('/v1/deliveries/:id/redeliver'),         identity: 'token', action: 'resume',  resource: 'delivery', bodyMaxBytes: 1_024,     body: 'json',         repeat: 'idempotent', audit: 'delivery.redelivery-requested' },
  listApprovals:     { ...get('/v1/approvals'),                         identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  getApproval:       { ...get('/v1/approvals/:id'),                     identity: 'token', action: 'read',    resource: 'approval', bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  approvalSample:    { ...get('/v1/approvals/:id/sample'),              identity: 'token', action: 'reveal',  resource: 'approval', bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: 'approval.sample-revealed' },
  decide:            { ...post('/v1/approvals/:id/decisions'),          identity: 'token', action: 'approve', resource: 'approval', bodyMaxBytes: 8_192,     body: 'json',         repeat: 'idempotent', audit: 'decision.submitted' },
  listDeadLetters:   { ...get('/v1/dead-letters'),                      identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  getDeadLetter:     { ...get('/v1/dead-letters/:id'),                  identity: 'token', action: 'read',    resource: 'dead letter', bodyMaxBytes: 0,      body: 'none',         repeat: 'safe',            audit: 'dead-letter.revealed' },
  listLetterAudit:   { ...get('/v1/dead-letters/:id/audit'),            identity: 'token', action: 'read',    resource: 'dead letter', bodyMaxBytes: 0,      body: 'none',         repeat: 'safe',            audit: null },
  repairDeadLetter:  { ...patch('/v1/dead-letters/:id'),                identity: 'token', action: 'repair',  resource: 'dead letter', bodyMaxBytes: 2_097_152, body: 'json',      repeat: 'idempotent', audit: 'dead-letter.repaired' },
  repairDeadLetters: { ...post('/v1/dead-letters/repair'),              identity: 'token', action: 'repair',  resource: 'chosen letters', bodyMaxBytes: 262_144, body: 'json',     repeat: 'idempotent', audit: 'dead-letter.repaired' },
  redriveDeadLetters: { ...post('/v1/dead-letters/redrive'),            identity: 'token', action: 'redrive', resource: 'chosen letters', bodyMaxBytes: 65_536, body: 'json',      repeat: 'idempotency-key', audit: 'run.accepted' },
  discardDeadLetters: { ...post('/v1/dead-letters/discard'),            identity: 'token', action: 'discard', resource: 'chosen letters', bodyMaxBytes: 65_536, body: 'json',      repeat: 'idempotent', audit: 'dead-letter.discarded' },
  listSchedules:     { ...get('/v1/schedules'),                         identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  createSchedule:    { ...post('/v1/schedules'),                        identity: 'token', action: 'schedule', resource: 'named pipeline', bodyMaxBytes: 65_536, body: 'json',   repeat: 'rejected',      audit: 'schedule.created' },
  previewSchedule:   { ...post('/v1/schedule-previews'),                identity: 'token', action: 'read',    resource: 'tenant',   bodyMaxBytes: 65_536,    body: 'json',         repeat: 'safe',            audit: null },
  getSchedule:       { ...get('/v1/schedules/:id'),                     identity: 'token', action: 'read',    resource: 'schedule', bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  updateSchedule:    { ...patch('/v1/schedules/:id'),                   identity: 'token', action: 'schedule', resource: 'schedule', bodyMaxBytes: 65_536,   body: 'json',         repeat: 'idempotent', audit: 'schedule.changed' },
  deleteSchedule:    { ...del('/v1/schedules/:id'),                     identity: 'token', action: 'schedule', resource: 'schedule', bodyMaxBytes: 0,        body: 'none',         repeat: 'rejected',      audit: 'schedule.deleted' },
  pauseSchedule:     { ...post('/v1/schedules/:id/pause'),              identity: 'token', action: 'schedule', resource: 'schedule', bodyMaxBytes: 1_024,    body: 'json',         repeat: 'idempotent', audit: 'schedule.paused' },
  resumeSchedule:    { ...post('/v1/schedules/:id/resume'),             identity: 'token', action: 'schedule', resource: 'schedule', bodyMaxBytes: 1_024,    body: 'json',         repeat: 'idempotent', audit: 'schedule.resumed' },
  renewSchedule:     { ...post('/v1/schedules/:id/renew'),              identity: 'token', action: 'schedule', resource: 'schedule', bodyMaxBytes: 1_024,    body: 'json',         repeat: 'idempotent', audit: 'schedule.renewed' },
  runSchedule:       { ...post('/v1/schedules/:id/run'),                identity: 'token', action: 'trigger', resource: 'schedule', bodyMaxBytes: 1_024,     body: 'json',         repeat: 'idempotency-key', audit: 'run.accepted' },
  backfillSchedule:  { ...post('/v1/schedules/:id/backfill'),           identity: 'token', action: 'trigger', resource: 'schedule', bodyMaxBytes: 4_096,     body: 'json',         repeat: 'idempotent', audit: 'run.accepted' },
  listFirings:       { ...get('/v1/schedules/:id/firings'),             identity: 'token', action: 'read',    resource: 'schedule', bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  fire:              { ...post('/v1/schedules/:id/firings'),            identity: 'body',  action: null,      resource: null,       bodyMaxBytes: 16_384,    body: 'json',         repeat: 'idempotent', audit: 'run.accepted' },
  health:            { ...get('/healthz'),                              identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  ready:             { ...get('/readyz'),                               identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  openapi:           { ...get('/openapi.json'),                         identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  keys:              { ...get('/.well-known/jwks.json'),                identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  webhookKeys:       { ...get('/.well-known/webhook-keys/:tenant'),     identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
  protectedResource: { ...get('/.well-known/oauth-protected-resource'), identity: 'none',  action: null,      resource: null,       bodyMaxBytes: 0,         body: 'none',         repeat: 'safe',            audit: null },
} as const satisfies Record<string, Route>;

/** Whether a path, as it was sent, is one of the route: with no empty id, no other spelling and no slash at its end. */
export function isPathOf({ path }: Route, sent: string): boolean {
  let pattern = patterns.get(path);
  if (!pattern) {
    pattern = new RegExp(`^${path.replaceAll('.', '\\.').replace(/:\w+/g, '[^/]+')}$`);
    patterns.set(path, pattern);
  }
  return pattern.test(sent);
}

const patterns = new Map<string, RegExp>();

export type RouteName = keyof typeof routeTable;

export interface Route {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  /** `body`: what it holds proves the caller’s identity, which the handler verifies. */
  identity: 'token' | 'body' | 'none';
  /** `null` where the request touches nothing of others. */
  action: Action | null;
  /** What the policy is asked about; `:id` names it. `null` where the body proves the identity. */
  resource: ResourceKind | null;
  bodyMaxBytes: number;
  /** Anything else is rejected unread. Data may be of any length, and is streamed. */
  body: 'none' | 'json' | 'json or data' | 'data' | 'form';
  repeat: 'safe' | 'idempotent' | 'rejected' | 'idempotency-key' | 'at an offset';
  /** The audit event that commits with the effect. Denials are audited as `access.denied` on every route. */
  audit: string | null;
}

function get<P extends string>(path: P) {
  return { method: 'GET' as const, path };
}

function post<P extends string>(path: P) {
  return { method: 'POST' as const, path };
}

function head<P extends string>(path: P) {
  return { method: 'HEAD' as const, path };
}

function put<P extends string>(path: P) {
  return { method: 'PUT' as const, path };
}

function patch<P extends string>(path: P) {
  return { method: 'PATCH' as const, path };
}

function del<P extends string>(path: P) {
  return { method: 'DELETE' as const, path };
}
