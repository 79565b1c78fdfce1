import { z } from 'zod';
import { approvalStates } from '../approvals/approval.ts';
import { gates } from '../approvals/gate.ts';
import { runStates } from '../runs/run.ts';

const count = z.int().min(0);

/** `Counts` as others read them. */
export const RunCounts = z.object({
  read: count,
  passed: count,
  filtered: count,
  rejected: count,
  emitted: count,
  stored: count,
  unchanged: count,
  deduplicated: count,
});

const links = z.object({ self: z.string(), events: z.string(), audit: z.string() });

/** What a receiver learns of a run: ids, state, counts, links. Never a record’s value, never a token. */
export const RunEventData = z.object({
  run: z.string(),
  tenant: z.string(),
  pipeline: z.string(),
  state: z.enum(runStates),
  counts: RunCounts.optional().describe('Of a run that has ended.'),
  reason: z.object({ code: z.string(), message: z.string() }).optional(),
  links,
});

/** What a receiver learns of an approval: enough to go and look. To decide, the approver follows the link and signs in. */
export const ApprovalEventData = z.object({
  approval: z.string(),
  run: z.string(),
  tenant: z.string(),
  pipeline: z.string(),
  gate: z.enum(gates),
  state: z.enum(approvalStates),
  by: z.array(z.string()).describe('Roles that may decide now.'),
  quorum: z.int().min(1).describe('So many people must approve.'),
  expiresAt: z.string(),
  links: links.describe('Of the run, which shows its approval while it waits.'),
});

/** What a receiver learns of a schedule that fires no more. */
export const ScheduleEventData = z.object({
  schedule: z.string(),
  tenant: z.string(),
  pipeline: z.string(),
  state: z.literal('blocked'),
  at: z.string().describe('The time for which no run was begun, RFC 3339.'),
  reason: z.object({ code: z.string(), message: z.string() }),
  links: z.object({ self: z.string(), firings: z.string() }),
});

/** Every type of event that Waybill sends, and the shape of its `data`. A type never changes its shape. */
export const webhookEvents = {
  'run.completed': RunEventData,
  'run.failed': RunEventData,
  'run.cancelled': RunEventData,
  'run.suspended': RunEventData,
  'run.resumed': RunEventData,
  'approval.requested': ApprovalEventData,
  'approval.reminded': ApprovalEventData,
  'approval.escalated': ApprovalEventData,
  'approval.ended': ApprovalEventData,
  'schedule.blocked': ScheduleEventData,
} as const satisfies Record<string, z.ZodObject>;

export type WebhookType = keyof typeof webhookEvents;
export const webhookTypes = Object.keys(webhookEvents) as WebhookType[];

/** An event for a receiver. */
export interface WebhookEvent {
  /** The same however often it is sent, so that a receiver can tell a repetition. */
  id: string;
  type: WebhookType;
  /** When it happened, RFC 3339. */
  timestamp: string;
  data: Readonly<Record<string, unknown>>;
}

/** The body of the request, as Standard Webhooks has it. */
export function webhookBody({ type, timestamp, data }: WebhookEvent): string {
  return JSON.stringify({ type, timestamp, data });
}

/**
 * What is signed (Standard Webhooks 1.0, “Signature scheme”). `sentAtS` is the time of the attempt, seconds since 1970, so that
 * a receiver may reject an event that is older than five minutes.
 */
export function signedContent(id: string, sentAtS: number, body: string): string {
  return `${id}.${sentAtS}.${body}`;
}
