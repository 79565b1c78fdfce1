/** Where a run waits for approval: before its first byte is read, or before its rows are visible. */
export const gates = ['ingest', 'publish'] as const;
export type Gate = (typeof gates)[number];

/** The approval terms of a definition, as its manifest carries them. Durations are milliseconds. */
export interface ApprovalManifest {
  before: Gate;
  /** Roles of which an approver has one. */
  by: readonly string[];
  /** Whether the definition’s `when` says for each run if it waits at all. Runs of agents always do. */
  conditional: boolean;
  /** How many different humans must approve. */
  quorum: number;
  withinMs: number;
  onTimeout: 'reject' | 'escalate';
  /** Roles that may decide too once `withinMs` is over without a decision; they have as long again. */
  escalateTo: readonly string[];
  /** Approvers are reminded at this interval. */
  remindMs?: number;
  /** JSON Schema (2020-12) of what an approver fills in. */
  form?: Readonly<Record<string, unknown>>;
  /** The URL that is told when approval is requested. */
  notify?: string;
}
