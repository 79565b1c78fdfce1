import type { ErrorCode } from '../errors.ts';
import type { WebhookEvent } from './webhookEvent.ts';

export const deliveryStates = ['pending', 'delivered', 'dead-lettered'] as const;
export type DeliveryState = (typeof deliveryStates)[number];

/** One event on its way to one receiver, as its tenant sees it; times are RFC 3339. */
export interface Delivery {
  /** `dlv_<uuidv7>`, also the `webhook-id`. */
  id: string;
  type: WebhookEvent['type'];
  /** What it tells of: one of the two. */
  runId: string | null;
  scheduleId: string | null;
  state: DeliveryState;
  /** Scheme, host and port. The rest of a URL is as good as a password with some receivers, and is not shown. */
  to: string;
  /** Since it was last asked for. */
  attempts: number;
  lastAttempt: { at: string; status: number | null; code: ErrorCode | null } | null;
  nextAttemptAt: string | null;
  createdAt: string;
  /** When it was delivered or given up. */
  endedAt: string | null;
}

/** Which delivery, and the how manyeth request to make it: the first comes with the event, each later one from a person. */
export interface DeliveryRef {
  id: string;
  round: number;
}

export const deliveryWorkflow = 'deliverWebhook';

/** One workflow for each round. Its id is all that it is given. */
export function deliveryWorkflowId({ id, round }: DeliveryRef): string {
  return `deliver-${id}-${round}`;
}

/** What a workflow may deliver, by what Temporal itself says of it; nothing where it is of another kind. */
export function deliveryOf(workflowType: string, workflowId: string): DeliveryRef | undefined {
  const match = /^deliver-(dlv_[0-9a-f-]{36})-([1-9]\d{0,8})$/.exec(workflowId);
  return workflowType === deliveryWorkflow && match ? { id: match[1]!, round: Number(match[2]) } : undefined;
}

/**
 * Attempts on their way at once, of all workers together, to one host and for one tenant. One slow receiver, or one tenant
 * with many of them, leaves room for the others.
 */
export const underWayMax = { host: 8, tenant: 32 };

/** How long an attempt may hold its place: until then its worker has either said how it ended, or is dead. */
export const attemptMaxMs = 30_000;
