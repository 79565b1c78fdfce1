import type { DecisionClaims, DecisionMessage } from '../domain/approvals/decision.ts';
import type { VerifiedGrant } from '../domain/grants/grant.ts';
import type { Policy } from '../domain/policies/policy.ts';
import type { RunApprovals } from '../domain/ports/approvals.ts';
import type { AuditLog } from '../domain/ports/audit.ts';
import type { StepDecision } from '../domain/ports/authority.ts';
import type { Batches } from '../domain/ports/batches.ts';
import type { Compute } from '../domain/ports/compute.ts';
import type { Definitions } from '../domain/ports/definitions.ts';
import type { DeliveryLog, WebhookSender } from '../domain/ports/deliveries.ts';
import type { GrantVerifier } from '../domain/ports/grants.ts';
import type { Ledger } from '../domain/ports/ledger.ts';
import type { ObjectStore } from '../domain/ports/objects.ts';
import type { Receiver } from '../domain/ports/receiver.ts';
import type { Revocations } from '../domain/ports/revocations.ts';
import type { RunStates } from '../domain/ports/runs.ts';
import type { Sources } from '../domain/ports/sources.ts';
import type { Stages } from '../domain/ports/stages.ts';
import type { StepTokens } from '../domain/ports/stepTokens.ts';
import type { Watermarks } from '../domain/ports/watermarks.ts';
import type { RunReason } from '../domain/runs/runFacts.ts';
import type { DelegationClaims } from '../domain/schedules/delegation.ts';
import type { DeliveryRef } from '../domain/webhooks/webhookDelivery.ts';
import { adoptStep } from './adopt.ts';
import { decideStep } from './decide.ts';
import { fetchStep } from './fetch.ts';
import { finalizeStep } from './finalize.ts';
import { gateStep } from './gate.ts';
import { ingestStep } from './ingest.ts';
import { lapseStep } from './lapse.ts';
import { publishStep } from './publish.ts';
import { resumeStep } from './resume.ts';
import { storeStep } from './store.ts';
import { suspendStep } from './suspend.ts';
import { transformStep } from './transform.ts';
import { validateStep } from './validate.ts';

/** What the steps need of the world. `grant()` is the verified grant of the attempt that asks. */
export interface Dependencies {
  grant(): VerifiedGrant;
  /** Which policies let the attempt work; of housekeeping none is asked. */
  decision(): StepDecision | undefined;
  /** Whether the attempt may go on; throws what a refused attempt throws. For steps that work for long. */
  recheck(): Promise<void>;
  runs: RunStates;
  batches: Batches;
  stages: Stages;
  watermarks: Watermarks;
  objects: ObjectStore;
  definitions: Definitions;
  compute: Compute;
  receiver: Receiver;
  sources: Sources;
  stepTokens: StepTokens;
  ledger: Ledger;
  approvals: RunApprovals;
  /** Verifies what people have decided, by the keys that sign grants. */
  decisions: GrantVerifier<DecisionClaims>;
  /** What holds today, for those who decide; for the attempt itself the guard has asked. */
  policy: Policy;
  revocations: Revocations;
  audit: AuditLog;
  /** The one delivery that the attempt is about, which may carry no grant. */
  delivery(): DeliveryRef;
  deliveries: DeliveryLog;
  /** Verifies what the record of a run calls its grant, where the attempt itself carries none. */
  grants: GrantVerifier;
  /** Of consents of schedules, for telling of them. */
  delegations: GrantVerifier<DelegationClaims>;
  sender: WebhookSender;
  /** Where callers find the API; events link there. */
  publicUrl: string;
  nowS(): number;
  /** Aborts when this worker is to stop: whoever only waits then lets another worker wait. */
  draining: AbortSignal;
}

/** The activities of `runPipeline`, one file a step. Their names are the steps that a grant lists. */
export function createActivities(deps: Dependencies) {
  return {
    fetch: () => fetchStep(deps),
    ingest: (page: { after: number }) => ingestStep(deps, page),
    validate: (batch: { seq: number }) => validateStep(deps, batch),
    transform: (batch: { seq: number }) => transformStep(deps, batch),
    store: (batch: { seq: number }) => storeStep(deps, batch),
    gate: (asked: { after: number }) => gateStep(deps, asked),
    decide: (message: DecisionMessage) => decideStep(deps, message),
    lapse: () => lapseStep(deps),
    publish: () => publishStep(deps),
    suspend: (reason: RunReason) => suspendStep(deps, reason),
    adopt: () => adoptStep(deps),
    resume: () => resumeStep(deps),
    finalize: (end: Parameters<typeof finalizeStep>[1]) => finalizeStep(deps, end),
  };
}

export type Activities = ReturnType<typeof createActivities>;
