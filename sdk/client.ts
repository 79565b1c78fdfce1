import { type AdministrationClient, administrationClient } from './client/administration.ts';
import { type ApprovalsClient, approvalsClient } from './client/approvals.ts';
import { type Connection, createConnection, type WaybillClientOptions } from './client/connection.ts';
import { type DeadLettersClient, deadLettersClient } from './client/deadLetters.ts';
import { type RunsClient, runsClient } from './client/runs.ts';
import { type SchedulesClient, schedulesClient } from './client/schedules.ts';

export type {
  Caller,
  Delivery,
  DeliveryFilter,
  Explanation,
  Key,
  Limit,
  MadeRevocation,
  Pipeline,
  PipelineDetail,
  PolicyQuery,
  Revocation,
  RevocationFilter,
  RunQuality,
  WebhookKey,
} from './client/administration.ts';
export type {
  Approval,
  ApprovalDetail,
  ApprovalFilter,
  Decision,
  DecisionRequest,
  Sample,
  SignedDecision,
} from './client/approvals.ts';
export type { Page, WaybillClientOptions } from './client/connection.ts';
export type {
  DeadLetter,
  DeadLetterDetail,
  DeadLetterEdit,
  DeadLetterFilter,
  DeadLetterGroup,
  Discarded,
  DiscardRequest,
  LetterEvent,
  RedrivePreview,
  RedriveRequest,
  RepairedLetter,
  RepairRequest,
  RepairStep,
} from './client/deadLetters.ts';
export { ApiUnreachable, type Problem, ProblemError } from './client/problem.ts';
export type { ResumableData, ResumableUploadOptions } from './client/resumableUpload.ts';
export type {
  AuditEvent,
  Envelope,
  LegalHold,
  Rejections,
  Run,
  RunFilter,
  UploadOptions,
  WaitingChoice,
  WaitingRuns,
} from './client/runs.ts';
export type {
  Backfill,
  BackfillRequest,
  Firing,
  Schedule,
  ScheduleChange,
  ScheduleDetail,
  ScheduleFilter,
  SchedulePreview,
  ScheduleRequest,
  ScheduleTerms,
  ScheduleTiming,
} from './client/schedules.ts';

/**
 * Waybill over HTTP, typed from its OpenAPI document. Every method throws `ProblemError`; its `code` says why Waybill
 * rejects the request, and `ApiUnreachable` if the API does not answer.
 */
export interface WaybillClient
  extends RunsClient,
    ApprovalsClient,
    SchedulesClient,
    DeadLettersClient,
    AdministrationClient,
    Pick<Connection, 'http'> {}

export function createWaybillClient(options: WaybillClientOptions): WaybillClient {
  const connection = createConnection(options);
  return {
    http: connection.http,
    ...runsClient(connection),
    ...approvalsClient(connection),
    ...schedulesClient(connection),
    ...deadLettersClient(connection),
    ...administrationClient(connection),
  };
}
