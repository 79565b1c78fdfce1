import type { components, operations } from '../generated/openapi.d.ts';
import { answered, type Connection, type Page } from './connection.ts';

export type Pipeline = components['schemas']['Pipeline'];
export type PipelineDetail = operations['getPipeline']['responses'][200]['content']['application/json'];
/** What the quality rules of a pipeline found in a run. */
export type RunQuality =
  operations['listQuality']['responses'][200]['content']['application/json']['items'][number];
/** Who one is to Waybill. */
export type Caller = operations['whoami']['responses'][200]['content']['application/json'];
export type Limit = components['schemas']['Limit'];
export type Key = operations['rotateKeys']['responses'][201]['content']['application/json'];
/** An event that was sent, or is to be. */
export type Delivery = components['schemas']['Delivery'];
export type DeliveryFilter = NonNullable<operations['listDeliveries']['parameters']['query']>;
export type WebhookKey = operations['rotateWebhookKeys']['responses'][201]['content']['application/json'];
export type Revocation = components['schemas']['Revocation'];
export type MadeRevocation = operations['revoke']['responses'][201]['content']['application/json'];
export type RevocationFilter = NonNullable<operations['listRevocations']['parameters']['query']>;
export type PolicyQuery = operations['explain']['requestBody']['content']['application/json'];
export type Explanation = components['schemas']['Explanation'];

export interface AdministrationClient {
  whoami(): Promise<Caller>;
  listPipelines(): Promise<Page<Pipeline>>;
  getPipeline(id: string): Promise<PipelineDetail>;
  /** What bounds your tenant, with its use. */
  listLimits(): Promise<Page<Limit>>;
  /** What the quality rules of a pipeline found, run by run, newest first. */
  listQuality(id: string, page?: { limit?: number; cursor?: string }): Promise<Page<RunQuality>>;
  /** The keys that sign grants, newest first. */
  listKeys(): Promise<Page<Key>>;
  /** Adds a key, which soon takes the place of the one that signs now. */
  rotateKeys(): Promise<Key>;
  /** Adds a key that signs events, beside the one before until then. */
  rotateWebhookKeys(): Promise<WebhookKey>;
  /** The events that callbacks were told, or are to be, newest first. */
  listDeliveries(filter?: DeliveryFilter): Promise<Page<Delivery>>;
  getDelivery(id: string): Promise<Delivery>;
  /** Sends an event again that was given up or delivered, under the same id. */
  redeliver(id: string): Promise<Delivery>;
  /** Revokes a right; what is revoked already stays as it is. `id`: `prn_…`, of a grant its run’s, of a key its `kid`. */
  revoke(
    kind: Revocation['kind'],
    id: string,
    options?: { reason?: string; force?: boolean },
  ): Promise<MadeRevocation>;
  /** What is revoked; of the filter, `id` is who or what that is. */
  listRevocations(filter?: RevocationFilter): Promise<Page<Revocation>>;
  /** Gives a right back. `id`: that of the revocation. */
  restore(id: string): Promise<Revocation>;
  /** For administrators: what the policy in force would answer, why, and what would be needed. */
  explain(policyQuery: PolicyQuery): Promise<Explanation>;
}

/** What callers and operators ask beside runs: pipelines, keys, events, revocations, policy. */
export function administrationClient({ http }: Connection): AdministrationClient {
  return {
    whoami: async () => answered(await http.GET('/v1/whoami')),
    listPipelines: async () => answered(await http.GET('/v1/pipelines')),
    getPipeline: async (id) => answered(await http.GET('/v1/pipelines/{id}', { params: { path: { id } } })),
    listLimits: async () => answered(await http.GET('/v1/limits')),
    listQuality: async (id, query = {}) =>
      answered(await http.GET('/v1/pipelines/{id}/quality', { params: { path: { id }, query } })),
    listKeys: async () => answered(await http.GET('/v1/keys')),
    rotateKeys: async () => answered(await http.POST('/v1/keys/rotations')),
    rotateWebhookKeys: async () => answered(await http.POST('/v1/webhook-keys/rotations')),
    listDeliveries: async (query = {}) => answered(await http.GET('/v1/deliveries', { params: { query } })),
    getDelivery: async (id) => answered(await http.GET('/v1/deliveries/{id}', { params: { path: { id } } })),
    redeliver: async (id) =>
      answered(await http.POST('/v1/deliveries/{id}/redeliver', { params: { path: { id } } })),
    revoke: async (kind, id, { reason, force = false } = {}) =>
      answered(
        await http.POST('/v1/revocations', {
          body: { kind, id, force, ...(reason !== undefined && { reason }) },
        }),
      ),
    listRevocations: async (query = {}) => answered(await http.GET('/v1/revocations', { params: { query } })),
    restore: async (id) => answered(await http.DELETE('/v1/revocations/{id}', { params: { path: { id } } })),
    explain: async (body) => answered(await http.POST('/v1/policy/explanations', { body })),
  };
}
