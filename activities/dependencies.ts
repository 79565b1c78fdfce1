import type { DecisionClaims } from '../domain/approvals/decision.ts';
import type { VerifiedGrant } from '../domain/grants/grant.ts';
import type { Policy } from '../domain/policies/policy.ts';
import type { RunApprovals } from '../domain/ports/approvals.ts';
import type { AuditLog } from '../domain/ports/audit.ts';
import type { StepDecision } from '../domain/ports/authorizer.ts';
import type { Batches } from '../domain/ports/batches.ts';
import type { Compute } from '../domain/ports/compute.ts';
import type { Definitions } from '../domain/ports/definitions.ts';
import type { DeliveryLog, WebhookSender } from '../domain/ports/deliveries.ts';
import type { Destinations } from '../domain/ports/destinations.ts';
import type { GrantVerifier } from '../domain/ports/grants.ts';
import type { Ledger } from '../domain/ports/ledger.ts';
import type { LimitedRates } from '../domain/ports/limits.ts';
import type { CallRates, LookupCache } from '../domain/ports/lookupCache.ts';
import type { ObjectStore } from '../domain/ports/objects.ts';
import type { Outbound } from '../domain/ports/outbound.ts';
import type { Quality } from '../domain/ports/quality.ts';
import type { Receiver } from '../domain/ports/receiver.ts';
import type { Revocations } from '../domain/ports/revocations.ts';
import type { RunStates } from '../domain/ports/runs.ts';
import type { Sources } from '../domain/ports/sources.ts';
import type { Stages } from '../domain/ports/stages.ts';
import type { StepTokens } from '../domain/ports/stepTokens.ts';
import type { Watermarks } from '../domain/ports/watermarks.ts';
import type { DelegationClaims } from '../domain/schedules/delegation.ts';
import type { DeliveryRef } from '../domain/webhooks/webhookDelivery.ts';

/** The ports that the steps use. `grant()` is the verified grant of the current attempt. */
export interface Dependencies {
  grant(): VerifiedGrant;
  /** The policy decision that permits the attempt; housekeeping steps need none. */
  decision(): StepDecision | undefined;
  /** Whether today’s policy also permits another step of the run’s grant. It allows no effect: that step is checked itself. */
  isPermitted(step: string): boolean;
  /** Checks the right of the attempt again, for long steps. Throws what a rejected attempt throws. */
  recheck(): Promise<void>;
  runs: RunStates;
  batches: Batches;
  stages: Stages;
  quality: Quality;
  watermarks: Watermarks;
  objects: ObjectStore;
  definitions: Definitions;
  compute: Compute;
  limitedRates: LimitedRates;
  receiver: Receiver;
  sources: Sources;
  stepTokens: StepTokens;
  lookupCache: LookupCache;
  callRates: CallRates;
  outbound: Outbound;
  /** The credential of a name, as it is now. Throws where it cannot be read. */
  credential(name: string): Promise<string>;
  ledger: Ledger;
  destinations: Destinations;
  approvals: RunApprovals;
  /** Verifies signed decisions, with the keys that sign grants. */
  decisions: GrantVerifier<DecisionClaims>;
  /** The current policy, for approvers; the guard has already checked the attempt itself. */
  policy: Policy;
  revocations: Revocations;
  audit: AuditLog;
  /** The delivery of the current attempt, which carries no grant. */
  delivery(): DeliveryRef;
  deliveries: DeliveryLog;
  /** Verifies the grant in the record of a run, where the attempt carries none. */
  grants: GrantVerifier;
  /** Verifies consents of schedules, for their webhooks. */
  delegations: GrantVerifier<DelegationClaims>;
  sender: WebhookSender;
  /** The API’s URL for callers; links in events begin with it. */
  publicUrl: string;
  nowS(): number;
  /** Aborts when this worker drains: a step that only waits returns, and another worker waits instead. */
  draining: AbortSignal;
}
