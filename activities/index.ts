import type { DecisionMessage } from '../domain/approvals/decision.ts';
import type { StepCall, StepsAhead } from '../domain/runs/run.ts';
import type { RunReason } from '../domain/runs/runFacts.ts';
import { decideStep } from './decide.ts';
import type { Dependencies } from './dependencies.ts';
import { enrichStep } from './enrich.ts';
import { fetchStep } from './fetch.ts';
import { finalizeStep } from './finalize.ts';
import { gateStep } from './gate.ts';
import { ingestStep } from './ingest.ts';
import { processApprovalTimersStep } from './processApprovalTimers.ts';
import { publishStep } from './publish.ts';
import { replaceGrantStep } from './replaceGrant.ts';
import { storeStep } from './store.ts';
import { resumeStep, suspendStep } from './suspension.ts';
import { transformStep } from './transform.ts';
import { validateStep } from './validate.ts';

/** The activities of `runPipeline`, one file a step. Their names are the steps that a grant lists. */
export function createActivities(deps: Dependencies) {
  return {
    fetch: () => fetchStep(deps),
    ingest: (page: { after: number; ahead?: readonly StepCall[] }): Promise<Arrived> =>
      ingestStep(deps, page),
    validate: (batch: { seq: number }) => validateStep(deps, batch),
    enrich: (batch: { seq: number }) => enrichStep(deps, batch),
    transform: (batch: { seq: number }) => transformStep(deps, batch),
    store: (batch: { seq: number }) => storeStep(deps, batch),
    gate: (asked: { after: number }) => gateStep(deps, asked),
    decide: (message: DecisionMessage) => decideStep(deps, message),
    processApprovalTimers: () => processApprovalTimersStep(deps),
    publish: () => publishStep(deps),
    suspend: (reason: RunReason) => suspendStep(deps, reason),
    replaceGrant: () => replaceGrantStep(deps),
    resume: () => resumeStep(deps),
    finalize: (end: Parameters<typeof finalizeStep>[1]) => finalizeStep(deps, end),
  };
}

/** The worker takes the steps `ahead` after `ingest` where it is the whole of a small run, and adds what came of them. */
interface Arrived {
  received: number;
  inputComplete: boolean;
  ahead?: StepsAhead;
}

export type Activities = ReturnType<typeof createActivities>;
