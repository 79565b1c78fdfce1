import type { ErrorTable } from './errorTable.ts';

/** What a request is refused for: over HTTP, as problems (RFC 9457). */
export const requestErrors = {
  InvalidRequest: {
    status: 400,
    retryable: false,
    message: 'The request is malformed. Compare it with /openapi.json.',
  },
  InvalidJson: { status: 400, retryable: false, message: 'The body is not valid JSON of at most 64 levels.' },
  Unauthenticated: { status: 401, retryable: false, message: 'Send a valid access token as a Bearer token.' },
  TokenExpired: { status: 401, retryable: false, message: 'The access token has expired. Obtain a new one.' },
  SignedOut: {
    status: 401,
    retryable: false,
    message: 'You have signed out since this token was issued. Sign in again.',
  },
  Forbidden: {
    status: 403,
    retryable: false,
    message: 'You may not do this. Ask an administrator of your tenant.',
  },
  ApproverNotAPerson: {
    status: 403,
    retryable: false,
    message: 'Only a person decides, in nobody’s name and through nobody else.',
  },
  ApproverIsRequester: {
    status: 403,
    retryable: false,
    message: 'You asked for this run, or somebody did for you. Another person has to decide.',
  },
  ApproverLacksRole: {
    status: 403,
    retryable: false,
    message: 'None of your roles is one that is asked to decide this.',
  },
  ApproverHasDecided: {
    status: 403,
    retryable: false,
    message: 'You have decided this already. What was decided stays.',
  },
  PrincipalRevoked: {
    status: 403,
    retryable: false,
    message: 'Your right to use Waybill has been withdrawn. Ask an operator of your tenant.',
  },
  NotFound: { status: 404, retryable: false, message: 'There is nothing here that you may see.' },
  PipelineNotFound: {
    status: 404,
    retryable: false,
    message: 'No such pipeline. GET /v1/pipelines lists them.',
  },
  RunNotFound: { status: 404, retryable: false, message: 'No such run. GET /v1/runs lists them.' },
  RevocationNotFound: {
    status: 404,
    retryable: false,
    message: 'No such revocation. GET /v1/revocations lists them.',
  },
  DeliveryNotFound: {
    status: 404,
    retryable: false,
    message: 'No such delivery. GET /v1/deliveries lists them.',
  },
  ApprovalNotFound: {
    status: 404,
    retryable: false,
    message: 'No such approval. GET /v1/approvals lists them.',
  },
  SampleNotFound: {
    status: 404,
    retryable: false,
    message: 'No sample is kept of what this approval is about. It goes with its rows.',
  },
  ScheduleNotFound: {
    status: 404,
    retryable: false,
    message: 'No such schedule. GET /v1/schedules lists them.',
  },
  ScheduleExists: {
    status: 409,
    retryable: false,
    message: 'A schedule of that id is there already. Change it, or choose another id.',
  },
  ScheduleChanged: {
    status: 409,
    retryable: false,
    message: 'Somebody has changed the schedule meanwhile. Look at it again.',
  },
  ScheduleInvalid: {
    status: 422,
    retryable: false,
    message: 'There are no such times. Correct cron, every, calendars or timeZone.',
  },
  OwnerOnly: {
    status: 403,
    retryable: false,
    message: 'Only its owner can consent to what a schedule does in their name, and nobody for them.',
  },
  PausedByOwner: {
    status: 403,
    retryable: false,
    message: 'Its owner has paused the schedule, and only they can resume it, unless you make it yours.',
  },
  MethodNotAllowed: { status: 405, retryable: false, message: 'This resource does not support that method.' },
  RequestTimeout: {
    status: 408,
    retryable: true,
    message: 'The request did not arrive in time. Send it again.',
  },
  RunEnded: { status: 409, retryable: false, message: 'The run has already ended.' },
  ApprovalEnded: {
    status: 409,
    retryable: false,
    message: 'Nobody is waited for any more: the approval has ended.',
  },
  ApprovalChanged: {
    status: 409,
    retryable: false,
    message: 'What you were shown is no longer what this is about. Look again, then decide.',
  },
  SelfRevocation: {
    status: 409,
    retryable: false,
    message: 'This would withdraw your own right. Where that is meant, send `force: true`.',
  },
  RunNotSuspended: { status: 409, retryable: false, message: 'Only a suspended run can be resumed.' },
  DeliveryPending: {
    status: 409,
    retryable: false,
    message: 'The delivery is still being tried. Only one that has ended can be sent again.',
  },
  IdempotencyKeyInUse: {
    status: 409,
    retryable: true,
    message: 'A request with this key is still being received. Try again once it has ended.',
  },
  RequestTooLarge: {
    status: 413,
    retryable: false,
    message: 'The request is too large. Upload the data as the request body instead.',
  },
  UnsupportedMediaType: {
    status: 415,
    retryable: false,
    message: 'Send application/json, or the data in the format of the pipeline.',
  },
  IdempotencyKeyReused: {
    status: 422,
    retryable: false,
    message: 'This key was used for a different request. Use a new key.',
  },
  IdempotencyKeyInvalid: {
    status: 400,
    retryable: false,
    message: 'An Idempotency-Key has 1 to 255 visible ASCII characters.',
  },
  ParametersInvalid: {
    status: 422,
    retryable: false,
    message: 'The parameters do not fit the pipeline. GET /v1/pipelines/{id} shows their schema.',
  },
  FormInvalid: {
    status: 422,
    retryable: false,
    message: 'The form is not as the approval asks for it. GET /v1/approvals/{id} shows its schema.',
  },
  SourceInvalid: { status: 422, retryable: false, message: 'The source does not fit the pipeline.' },
  CallbackRefused: {
    status: 422,
    retryable: false,
    message: 'This Waybill may not call that URL. Callbacks go to public hosts by https.',
  },
  InputRequired: {
    status: 422,
    retryable: false,
    message: 'This pipeline needs data: send records, or the data itself as the body.',
  },
  InputEmpty: { status: 422, retryable: false, message: 'The body holds no data.' },
  HeaderInvalid: {
    status: 422,
    retryable: false,
    message: 'The first line of the CSV must name each column once.',
  },
  UploadIncomplete: {
    status: 400,
    retryable: false,
    message: 'The upload ended before its last byte. Nothing was stored. Send it again.',
  },
  LogoutTokenInvalid: {
    status: 400,
    retryable: false,
    message: 'The logout token is not one of a known issuer for this Waybill.',
  },
  LogoutSubjectMissing: {
    status: 400,
    retryable: false,
    message:
      'The logout token names a session alone, and Waybill keeps none. Have it name its subject (sub).',
  },
  TokenRequestInvalid: {
    status: 400,
    retryable: false,
    message: 'The token request is malformed, or its grant is not one of a run that is open.',
  },
  TokenKindUnsupported: {
    status: 400,
    retryable: false,
    message: 'Here grants are exchanged for step tokens, and nothing else for anything else.',
  },
  TokenAudienceRefused: {
    status: 400,
    retryable: false,
    message: 'The step does not call this audience as the person of its run.',
  },
  WorkloadUnauthenticated: {
    status: 401,
    retryable: false,
    message: 'The workload that asks for a token did not prove which one it is.',
  },
  TooManyRequests: {
    status: 429,
    retryable: true,
    message: 'Too many requests. Wait as long as Retry-After says.',
  },
  Internal: {
    status: 500,
    retryable: true,
    message: 'Something went wrong on our side. Nothing was lost. Try again later.',
  },
  ApprovalTampered: {
    status: 500,
    retryable: false,
    message:
      'What is on record about this approval is not what its digest names. An operator has to look at it.',
  },
  DatabaseUnavailable: {
    status: 503,
    retryable: true,
    message: 'Waybill cannot record anything right now. Try again later.',
  },
  StorageUnavailable: {
    status: 503,
    retryable: true,
    message: 'Waybill cannot keep data right now. Try again later.',
  },
  IdentityProviderUnavailable: {
    status: 503,
    retryable: true,
    message: 'The identity provider does not answer. Try again later.',
  },
} as const satisfies ErrorTable;
