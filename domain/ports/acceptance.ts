import type { AuditEvent } from '../audit.ts';
import type { Manifest } from '../pipelines/manifest.ts';
import type { Requester } from '../principal.ts';
import type { Credential } from '../revocation.ts';
import type { Batch } from '../runs/batch.ts';
import type { Run } from '../runs/run.ts';
import type { AcceptedSource } from '../sources/source.ts';
import type { Callback } from '../webhooks/callback.ts';
import type { NewFiring } from './firings.ts';

/** Records new runs. All of it throws `DatabaseUnavailable`. */
export interface RunAcceptance {
  /** What is known of an idempotency key, before any byte is read. */
  findKey(key: IdempotencyScope): Promise<KnownKey | undefined>;
  /**
   * One transaction: the run, its grant, the batches received so far, the audit event, the key and the outbox
   * entry from which the relay starts the workflow. Of two acceptances with one key one wins, and the other gets what is known of
   * the key. Throws `PrincipalRevoked` where the credential was revoked while the request was under way,
   * `DeadLettersChanged` where one of `letters` is not as it was read, and `ScheduleChanged` where `schedule` has another revision now.
   */
  accept(
    acceptance: Acceptance,
  ): Promise<{ outcome: 'accepted'; run: Run } | { outcome: 'known'; known: KnownKey }>;
  /**
   * The same for a time of a schedule, of which this becomes the only firing; Temporal starts the run as a child workflow. `undefined`
   * where the time already has a firing, or the schedule has another revision now.
   */
  acceptFiring(acceptance: Acceptance, firing: AcceptedFiring): Promise<Run | undefined>;
  /** Records a run that failed before it could begin: its upload broke before the first batch. */
  recordFailed(acceptance: Acceptance, code: 'UploadIncomplete'): Promise<Run>;
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
  source: AcceptedSource;
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
  /** The data follows in requests of its own, until then (RFC 3339). The run starts with its first batch. */
  input?: { expiresAt: string };
  /** Dead letters that become the run’s, in the order of its records. */
  letters?: readonly { id: string; revision: number }[];
  /** The run that this one runs again, and the batches that it reads of it; `null`: it reads its source again. */
  retried?: { runId: string; seqs: readonly number[] | null };
  /** The schedule in which a user asked for the run, and its revision as the user was shown it. */
  schedule?: { id: string; revision: number };
  /** The run is for a time of the schedule that has passed. */
  backfill?: boolean;
  audit: AuditEvent;
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
  /** Of the schedule as the caller read it. */
  revision: number;
}
