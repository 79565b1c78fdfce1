import type { DefinitionFacts } from '../policies/policy.ts';
import type { Requester } from '../principal.ts';
import type { AcceptedSource } from '../sources/source.ts';
import type { Counts } from './run.ts';

/** What the steps know of a run. None of it changes while the run lives. */
export interface RunFacts {
  runId: string;
  tenant: string;
  pipeline: string;
  version: number;
  definitionDigest: string;
  /** What policies see of the definition that the run was accepted with. */
  definition: DefinitionFacts;
  /** `prn_…` of the requester. */
  principal: string;
  /** The requester as the run shows it. */
  requestedBy: Requester;
  txn: string;
  parameters: unknown;
  source: AcceptedSource;
}

/** The state in which a run ends. */
export type RunOutcome = {
  state: 'completed' | 'failed' | 'cancelled';
  counts: Counts;
  reason?: RunReason;
};

export interface RunReason {
  code: string;
  message: string;
}
