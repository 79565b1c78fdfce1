/** Where a run waits for people: before its first byte is read, or before its rows are seen by anybody. */
export const gates = ['ingest', 'publish'] as const;
export type Gate = (typeof gates)[number];

/** How a gate is kept: what a definition declares, as its manifest carries it. Durations are milliseconds. */
export interface ApprovalManifest {
  before: Gate;
  /** Roles of which an approver has one. */
  by: readonly string[];
  /** Whether the definition’s `when` says for each run if it waits at all. Runs of agents always do. */
  conditional: boolean;
  /** So many different people must approve. */
  quorum: number;
  withinMs: number;
  onTimeout: 'reject' | 'escalate';
  /** Roles that may decide too once `withinMs` is over without a decision; they have as long again. */
  escalateTo: readonly string[];
  /** Who is waited for is told again each time this has passed. */
  remindMs?: number;
  /** JSON Schema (2020-12) of what an approver fills in. */
  form?: Readonly<Record<string, unknown>>;
  /** Where to tell that somebody is waited for. */
  notify?: string;
}
