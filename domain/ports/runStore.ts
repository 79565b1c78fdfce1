import type { AuditEvent } from '../audit.ts';
import type { Manifest } from '../pipelines/manifest.ts';
import type { Requester } from '../principal.ts';
import type { Credential } from '../revocation.ts';
import type { Batch } from '../runs/batch.ts';
import type { Run, RunRef, RunState } from '../runs/run.ts';
import type { Callback } from '../webhooks/callback.ts';
import type { NewFiring } from './firings.ts';
import type { RunFacts } from './progress.ts';
import type { PulledSource } from './sources.ts';

/** What the API asks of the database: accepting runs and showing them. All of it throws `DatabaseUnavailable`. */
export interface RunStore {
  /** What is known of an idempotency key, before any byte is read. */
  findKey(key: IdempotencyScope): Promise<KnownKey | undefined>;
  /**
   * One transaction: the run, its grant, the batches received so far, the audit event, the key and the outbox
   * entry from which the relay starts the workflow. Two acceptances with one key: one wins, the other learns of it.
   * Throws `PrincipalRevoked` where the credential was revoked meanwhile.
   */
  accept(
    acceptance: Acceptance,
  ): Promise<{ outcome: 'accepted'; run: Run } | { outcome: 'known'; known: KnownKey }>;
  /**
   * The same for a time of a schedule, whose one firing it then is; Temporal starts the run as its child. `undefined` where
   * the time has had its firing, or the schedule is no more what it was.
   */
  acceptFiring(acceptance: Acceptance, firing: AcceptedFiring): Promise<Run | undefined>;
  /** Appends a batch that arrived after acceptance, and wakes whoever waits for it. Throws `UploadIncomplete` once broken. */
  appendBatch(run: RunRef, batch: Batch): Promise<void>;
  /** Says that the upload of a run goes on; without it for 30 s, the upload counts as broken. */
  touch(run: RunRef): Promise<void>;
  /** The last byte is durable. Sets the digest of the request on the idempotency key. Throws `UploadIncomplete` once broken. */
  seal(run: RunRef, requestDigest: string, audit: AuditEvent): Promise<Run>;
  /** The upload ended early: the run will fail as `UploadIncomplete`; its key becomes free again. */
  breakOff(run: RunRef, audit: AuditEvent): Promise<void>;
  /** Records a run that failed before it could begin, for an upload that broke before its first batch. */
  recordFailed(acceptance: Acceptance, code: 'UploadIncomplete'): Promise<Run>;

  findRun(tenant: string, runId: string): Promise<Run | undefined>;
  /** How many of its dead letters, of at least the first 10,000, have which code; the most frequent first. */
  countRejections(tenant: string, runId: string): Promise<Record<string, number>>;
  /** What is known of a run for those who work on it; `undefined` once it has ended. */
  findOpenRun(tenant: string, runId: string): Promise<RunFacts | undefined>;
  /** Newest first. `cursor` is what `nextCursor` of the page before said. */
  listRuns(
    tenant: string,
    filter: { pipeline?: string; state?: RunState; limit: number; cursor?: string },
  ): Promise<{ items: Run[]; nextCursor: string | null }>;
  /** Asks Temporal, through the relay, to cancel. Returns the run as it is now; throws `RunEnded`. */
  requestCancel(tenant: string, runId: string, audit: AuditEvent): Promise<Run | undefined>;
  /** The signed grant that a run has. Throws `RunNotFound`. */
  findGrant(run: RunRef): Promise<string>;
  /**
   * Has a suspended run ask whether it may go on: under the successor of its grant, or where there is none, as it is.
   * Returns the run as it is now; throws `RunNotSuspended`.
   */
  requestResume(
    run: RunRef,
    successor: { id: string; grant: string } | undefined,
    audit: AuditEvent,
  ): Promise<Run>;
  /** What happened to a run, oldest first. `cursor` is what `nextCursor` of the page before said. */
  listAudit(
    tenant: string,
    runId: string,
    page: { limit: number; cursor?: string },
  ): Promise<{ items: AuditRecord[]; nextCursor: string | null }>;
  /**
   * Calls back whenever the run may have changed, until the signal aborts. Misses nothing that happens after it
   * returned, may call once too often.
   */
  watchRun(runId: string, onChange: () => void, signal: AbortSignal): void;
  /** Whether runs can be recorded now. */
  check(): Promise<void>;
}

/** An audit event as it was recorded; `at` is RFC 3339. */
export interface AuditRecord extends AuditEvent {
  id: string;
  at: string;
}

export interface IdempotencyScope {
  tenant: string;
  principal: string;
  pipeline: string;
  key: string;
}

export type KnownKey =
  | { state: 'receiving'; runId: string }
  | { state: 'settled'; run: Run; requestDigest: string };

/** Which time of which schedule begins a run, and the execution in Temporal that asked. */
export interface AcceptedFiring extends NewFiring {
  schedule: string;
  /** Of the schedule, as it was when it was looked at. */
  revision: number;
}

export interface Acceptance {
  runId: string;
  manifest: Manifest;
  definitionDigest: string;
  tenant: string;
  requestedBy: Requester;
  /** What the request relied on. */
  credential: Credential;
  parameters: unknown;
  /** What the run reads: for pulled sources the path or URL, resolved. */
  source: { kind: 'upload' | 'inline' } | PulledSource;
  /** The signed grant. */
  grant: string;
  txn: string;
  callback: Callback | null;
  idempotency?: IdempotencyScope;
  /** Hex SHA-256 over everything that makes two requests the same; absent while bytes are still arriving. */
  requestDigest?: string;
  batches: readonly Batch[];
  /** Whether these are all batches there will be. Pulled sources are never sealed at acceptance. */
  sealed: boolean;
  audit: AuditEvent;
}
