import type { AuditEvent } from '../audit.ts';
import type { ErrorCode } from '../errors.ts';
import type { DefinitionFacts } from '../policies/policy.ts';
import type { Run } from '../runs/run.ts';
import type { WebhookAnswer } from '../webhooks/webhookAnswer.ts';
import type { Delivery, DeliveryRef, DeliveryState } from '../webhooks/webhookDelivery.ts';
import type { WebhookEvent } from '../webhooks/webhookEvent.ts';
import type { WebhookRoot } from '../webhooks/webhookKey.ts';

/** What the API asks of the deliveries of a tenant. All of it throws `DatabaseUnavailable`. */
export interface Deliveries {
  /** Newest first. `cursor` is what `nextCursor` of the page before said. */
  list(
    tenant: string,
    filter: { runId?: string; state?: DeliveryState; limit: number; cursor?: string },
  ): Promise<{ items: ShownDelivery[]; nextCursor: string | null }>;
  find(tenant: string, id: string): Promise<ShownDelivery | undefined>;
  /** Has it sent again, under the same id. Throws `DeliveryPending` where it has not ended. */
  redeliver(tenant: string, id: string, audit: AuditEvent): Promise<Delivery>;
}

/** A delivery and what it tells of, by which the policy decides who may see it: a run, or the pipeline of a schedule. */
export interface ShownDelivery {
  delivery: Delivery;
  run?: Run;
  scheduled?: DefinitionFacts;
}

/**
 * What an attempt asks of the one delivery that its workflow is about. All that is sent, and where to, comes from here.
 * All of it throws `DatabaseUnavailable`.
 */
export interface DeliveryLog {
  /**
   * Takes a place among the attempts under way, for `attemptMaxMs` at most. `over`: it has ended, or a redelivery was requested
   * since; `unknown`: there is no such delivery; `busy`: too many are under way to that host or for that tenant.
   */
  claim(
    ref: DeliveryRef,
  ): Promise<{ outcome: 'claimed'; claim: Claim } | { outcome: 'over' | 'unknown' | 'busy' }>;
  delivered(claim: Claim, status: number): Promise<void>;
  /** The attempt failed; the next one is due in `retryAfterMs`. */
  failed(claim: Claim, failure: AttemptFailure, retryAfterMs: number): Promise<void>;
  /** Given up: it is not retried until a redelivery is requested. Changes nothing once it has ended. */
  abandon(ref: DeliveryRef, failure?: AttemptFailure): Promise<void>;
}

/** Deliveries of all tenants, for starting their workflows. All of it throws `DatabaseUnavailable`. */
export interface DueDeliveries {
  /**
   * Hands up to `deliveriesMax` deliveries that are due to be started to `start`; those that it resolves for belong to Temporal
   * from then on, the others are due again half a minute later. Unlike with the outbox no transaction is open while `start` runs: the
   * first attempt of one may come before the last of them has been started. Resolves with how many were found.
   */
  relay(deliveriesMax: number, start: (delivery: DueDelivery) => Promise<void>): Promise<number>;
  /** Pending for more than a minute and started, in the order of their ids: Temporal should know them. */
  listPending(afterId: string, deliveriesMax: number): Promise<DeliveryRef[]>;
  /** Starts one again that Temporal never received, or has lost. */
  restart(delivery: DeliveryRef): Promise<void>;
}

/** A delivery that needs its workflow started. */
export interface DueDelivery extends DeliveryRef {
  tenant: string;
  /** The run or the schedule that it tells of. */
  about: string;
  type: string;
  host: string;
}

export interface AttemptFailure {
  status: number | null;
  code: ErrorCode;
}

/** An attempt that may be made now. */
export interface Claim extends DeliveryRef {
  event: WebhookEvent;
  url: string;
  tenant: string;
  /** What it tells of: a run or a schedule. */
  runId: string | null;
  scheduleId: string | null;
  /** The signed grant of the run, or the consent of the schedule, as its record has it: not verified. */
  grant: string;
  /** Counts from 1 in each round. */
  attempt: number;
}

/** Sends an event, signed for its tenant, by one POST. */
export interface WebhookSender {
  /** Throws `CallbackRefused` where the URL may not be called, and `KeysUnavailable` where it cannot be signed. */
  send(message: Pick<Claim, 'event' | 'url' | 'tenant'>): Promise<WebhookAnswer>;
}

/** The public keys by which the receivers of a tenant verify events. */
export interface WebhookKeys {
  /** As a JWK Set (RFC 7517), newest first. Throws `KeysUnavailable`. */
  publicKeys(tenant: string): Promise<{ keys: object[] }>;
  /**
   * Adds a root that signs from now on, for all tenants. While the one before still signs too, none is added and the newest is
   * the answer. Throws `KeysUnavailable`.
   */
  rotate(): Promise<WebhookRoot>;
}
