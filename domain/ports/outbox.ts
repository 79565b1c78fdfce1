import type { Manifest } from '../pipelines/manifest.ts';
import type { Requester } from '../principal.ts';
import type { RunRef } from '../runs/run.ts';
import type { AcceptedSource } from '../sources/source.ts';

/** What the relay must tell Temporal, of all tenants. All of it throws `DatabaseUnavailable`. */
export interface Outbox {
  /** What may be due, so that a relay that wakes in vain asks one question. */
  findDue(): Promise<{ entries: boolean; deliveries: boolean; schedules: boolean }>;
  /**
   * Hands up to `entriesMax` due entries, which no other relay holds, to `deliver`; those that it resolves for are
   * removed, the others are due again later, at most 30 s apart. Resolves with how many were found.
   */
  relay(entriesMax: number, deliver: (entry: OutboxEntry) => Promise<void>): Promise<number>;
  /** Puts a run that Temporal never received, or has lost, back into the outbox. */
  enqueueStart(run: RunRef): Promise<void>;
  /** Calls back whenever there may be something to relay; misses nothing after it returned, may call once too often. */
  watch(onNews: () => void): { close(): Promise<void> };
}

/** An entry leaves the outbox in the transaction in which Temporal agreed. */
export interface OutboxEntry {
  id: string;
  kind: 'start' | 'cancel' | 'recheckAuthorization' | 'replaceGrant' | 'decide';
  runId: string;
  tenant: string;
  requestedBy: Requester;
  manifest: Manifest;
  /** What the run reads. */
  source: AcceptedSource;
  grant: string;
  /** What has arrived, where that is all of the input. */
  input: { batches: number; bytes: number } | null;
  ended: boolean;
  /** Whether the run is for a time that has passed. */
  backfill: boolean;
  /** The decision to carry, where the entry carries one. */
  decision: {
    id: string;
    token: string;
    comment: string | null;
    form: Record<string, unknown> | null;
    /** Whether the run has answered it already. */
    settled: boolean;
  } | null;
}
