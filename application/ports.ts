import type { LetterValue } from '../domain/deadLetters/deadLetter.ts';
import type { Policy } from '../domain/policies/policy.ts';
import type { RunAcceptance } from '../domain/ports/acceptance.ts';
import type { Approvals } from '../domain/ports/approvals.ts';
import type { AuditLog, AuditTrail } from '../domain/ports/audit.ts';
import type { Authenticator } from '../domain/ports/authenticator.ts';
import type { Authorizer } from '../domain/ports/authorizer.ts';
import type { Uploads } from '../domain/ports/batches.ts';
import type { Compute } from '../domain/ports/compute.ts';
import type { DeadLetters } from '../domain/ports/deadLetters.ts';
import type { Definitions, LoadedPipeline } from '../domain/ports/definitions.ts';
import type { Deliveries, WebhookKeys } from '../domain/ports/deliveries.ts';
import type { Deployments } from '../domain/ports/deployments.ts';
import type { Firings } from '../domain/ports/firings.ts';
import type { GrantKeys, GrantSigner, GrantVerifier } from '../domain/ports/grants.ts';
import type { LegalHolds } from '../domain/ports/legalHolds.ts';
import type { LimitedRates, TenantLimits } from '../domain/ports/limits.ts';
import type { LogoutRecords, LogoutTokens } from '../domain/ports/logouts.ts';
import type { ObjectStore } from '../domain/ports/objects.ts';
import type { PrincipalDirectory } from '../domain/ports/principalDirectory.ts';
import type { QualityResults } from '../domain/ports/quality.ts';
import type { Receiver } from '../domain/ports/receiver.ts';
import type { RevocationRecords, Revocations } from '../domain/ports/revocations.ts';
import type { RunInputs } from '../domain/ports/runInputs.ts';
import type { Runs } from '../domain/ports/runs.ts';
import type { Schedules } from '../domain/ports/schedules.ts';
import type { Inputs } from '../domain/ports/sources.ts';
import type { TemporalSchedules } from '../domain/ports/temporalSchedules.ts';
import type { Workloads } from '../domain/ports/workloads.ts';
import type { DelegationClaims, SchedulerActor } from '../domain/schedules/delegation.ts';

/** All that use cases need of the world. Each takes the few that it names, by `Pick`. */
export interface ApplicationPorts {
  acceptance: RunAcceptance;
  uploads: Uploads;
  runInputs: RunInputs;
  runs: Runs;
  deadLetters: DeadLetters;
  /** Tries records with the code of their pipeline, bounded in time. */
  compute: Pick<Compute, 'transform' | 'rows' | 'readRows' | 'forget'>;
  /** The record of a letter as its format reads it, each number as it was; `undefined` where it cannot be read. */
  readLetter(pipeline: LoadedPipeline, value: LetterValue): Promise<object | undefined>;
  quality: QualityResults;
  legalHolds: LegalHolds;
  limits: TenantLimits;
  limitedRates: LimitedRates;
  auditTrail: AuditTrail;
  /** Throws `DatabaseUnavailable` where runs cannot be recorded now. */
  checkDatabase(): Promise<void>;
  /** How many queries wait for a connection to the database. */
  waitingQueries(): number;
  auditLog: AuditLog;
  authenticator: Authenticator;
  principalDirectory: PrincipalDirectory;
  policy: Policy;
  revocations: Revocations;
  revocationRecords: RevocationRecords;
  logoutTokens: LogoutTokens;
  logoutRecords: LogoutRecords;
  definitions: Definitions;
  deployments: Deployments;
  grantSigner: GrantSigner;
  grantKeys: GrantKeys;
  grantVerifier: GrantVerifier;
  /** What holds today for a run. */
  authorizer: Authorizer;
  workloads: Workloads;
  objects: ObjectStore;
  receiver: Receiver;
  inputs: Inputs;
  /** Throws `CallbackRefused` where it is plain that no event would be sent there. */
  checkCallback(url: string): void;
  deliveries: Deliveries;
  approvals: Approvals;
  schedules: Schedules;
  firings: Firings;
  temporalSchedules: TemporalSchedules;
  delegationVerifier: GrantVerifier<DelegationClaims>;
  /** The actor of firings. Revoking it stops all schedules. */
  scheduler: SchedulerActor;
  webhookKeys: WebhookKeys;
}

/** What use cases have to know of the Waybill that they are part of. */
export interface ApplicationOptions {
  /** Name of this Waybill; grants are issued by `urn:waybill:<instance>`. */
  instance: string;
  /** Temporal’s namespace, to which grants are bound. */
  namespace: string;
  /** The operators of this tenant operate Waybill as a whole. Default: none. */
  operatingTenant?: string;
  /** Prefix of the links in answers and events; without it they begin with `/`. */
  publicUrl?: string;
}
