/** Why the API rejects a request, as a problem (RFC 9457). */
export const requestErrors = {
  InvalidRequest: {
    status: 400,
    retryable: false,
    message: 'The request is malformed. Compare it with /openapi.json.',
  },
  InvalidJson: {
    status: 400,
    retryable: false,
    message:
      'The body is not valid JSON, nests deeper than 64 levels, or holds a key twice or a number of too many digits. Correct it.',
  },
  Unauthenticated: {
    status: 401,
    retryable: false,
    message: 'The access token is missing or invalid. Send a valid one as a Bearer token.',
  },
  TokenExpired: { status: 401, retryable: false, message: 'The access token has expired. Obtain a new one.' },
  SignedOut: {
    status: 401,
    retryable: false,
    message: 'You have signed out since this token was issued. Sign in again.',
  },
  Forbidden: {
    status: 403,
    retryable: false,
    message: 'Your roles do not allow this. Ask an administrator of your tenant.',
  },
  ApproverNotHuman: {
    status: 403,
    retryable: false,
    message: 'Only a human acting directly can decide. Sign in yourself, without an agent.',
  },
  ApproverIsRequester: {
    status: 403,
    retryable: false,
    message: 'The requester cannot decide their own run. Ask another approver.',
  },
  ApproverLacksRole: {
    status: 403,
    retryable: false,
    message: 'None of your roles may decide this. Ask an approver with one of the roles that it shows.',
  },
  ApproverHasDecided: {
    status: 403,
    retryable: false,
    message: 'You have already decided. A decision cannot be changed.',
  },
  PrincipalRevoked: {
    status: 403,
    retryable: false,
    message: 'Your access to Waybill is revoked. Ask an operator of your tenant.',
  },
  NotFound: {
    status: 404,
    retryable: false,
    message: 'There is no such resource, or you may not see it. /openapi.json lists the routes.',
  },
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
    message: 'The approval has no sample. It is deleted with the rows that it shows.',
  },
  ScheduleNotFound: {
    status: 404,
    retryable: false,
    message: 'No such schedule. GET /v1/schedules lists them.',
  },
  ScheduleExists: {
    status: 409,
    retryable: false,
    message: 'A schedule with this id already exists. Change it, or choose another id.',
  },
  ScheduleChanged: {
    status: 409,
    retryable: false,
    message: 'The schedule has changed since you read it. Read it again, then repeat the change.',
  },
  ScheduleInvalid: {
    status: 422,
    retryable: false,
    message: 'The schedule names no valid times. Correct cron, every, calendars or timeZone.',
  },
  OwnerOnly: {
    status: 403,
    retryable: false,
    message: 'Only the owner of a schedule can consent to it. Ask the owner, or take ownership.',
  },
  PausedByOwner: {
    status: 403,
    retryable: false,
    message:
      'The owner has paused the schedule, and only the owner can resume it. Ask the owner, or take ownership.',
  },
  MethodNotAllowed: {
    status: 405,
    retryable: false,
    message: 'This resource does not support that method. Use one that /openapi.json lists.',
  },
  RequestTimeout: {
    status: 408,
    retryable: true,
    message: 'The request did not arrive in time. Send it again.',
  },
  RunEnded: { status: 409, retryable: false, message: 'The run has already ended. Start a new one.' },
  ApprovalEnded: {
    status: 409,
    retryable: false,
    message: 'The approval has already ended. There is nothing to decide.',
  },
  ApprovalChanged: {
    status: 409,
    retryable: false,
    message: 'The data has changed since you read the approval. Read it again, then decide.',
  },
  SelfRevocation: {
    status: 409,
    retryable: false,
    message: 'This would revoke your own access. Send `force: true` if you mean it.',
  },
  RunNotSuspended: {
    status: 409,
    retryable: false,
    message: 'The run is not suspended. Only a suspended run can be resumed.',
  },
  DeliveryPending: {
    status: 409,
    retryable: false,
    message: 'The delivery is still being retried. Send it again once it has ended.',
  },
  IdempotencyKeyInUse: {
    status: 409,
    retryable: true,
    message: 'A request with this key is still in progress. Try again once it has ended.',
  },
  RequestTooLarge: {
    status: 413,
    retryable: false,
    message: 'The request is too large. Upload the data as the request body instead.',
  },
  UnsupportedMediaType: {
    status: 415,
    retryable: false,
    message:
      'The pipeline does not accept this media type. Send application/json, or data in its own format.',
  },
  IdempotencyKeyReused: {
    status: 422,
    retryable: false,
    message: 'The key is already used for a different request. Send a new Idempotency-Key.',
  },
  IdempotencyKeyInvalid: {
    status: 400,
    retryable: false,
    message: 'The Idempotency-Key is invalid. Send 1 to 255 visible ASCII characters.',
  },
  ParametersInvalid: {
    status: 422,
    retryable: false,
    message: 'The parameters do not match the schema of the pipeline. GET /v1/pipelines/{id} shows it.',
  },
  FormInvalid: {
    status: 422,
    retryable: false,
    message: 'The form does not match the schema of the approval. GET /v1/approvals/{id} shows it.',
  },
  SourceInvalid: {
    status: 422,
    retryable: false,
    message: 'The source does not match the pipeline. GET /v1/pipelines/{id} shows which source it has.',
  },
  CallbackRefused: {
    status: 422,
    retryable: false,
    message: 'Waybill may not call this URL. Use a public host and https.',
  },
  InputRequired: {
    status: 422,
    retryable: false,
    message: 'The pipeline needs data. Send records, or the data itself as the body.',
  },
  InputEmpty: { status: 422, retryable: false, message: 'The body holds no data. Send at least one record.' },
  HeaderInvalid: {
    status: 422,
    retryable: false,
    message:
      'The header of the CSV does not name the columns of the pipeline. Correct the header or the pipeline.',
  },
  UploadIncomplete: {
    status: 400,
    retryable: false,
    message: 'The upload ended before its last byte, and nothing was stored. Send it again.',
  },
  UploadInterrupted: {
    status: 408,
    retryable: true,
    message: 'The data stopped arriving. Ask with HEAD how much is durable, and send the rest.',
  },
  UploadOffsetMismatch: {
    status: 409,
    retryable: false,
    message: 'The upload does not continue at this byte. Send from the byte in Upload-Offset.',
  },
  UploadCompleted: {
    status: 409,
    retryable: false,
    message: 'The upload is already complete. Follow the run.',
  },
  UploadSuperseded: {
    status: 409,
    retryable: false,
    message:
      'A later request has continued this upload. Let that one end, or ask with HEAD how much is durable.',
  },
  UploadLengthMismatch: {
    status: 400,
    retryable: false,
    message: 'The upload has another length than it announced. Send the rest, or correct Upload-Length.',
  },
  LogoutTokenInvalid: {
    status: 400,
    retryable: false,
    message: 'The logout token is not valid. Check its issuer, audience and signature.',
  },
  LogoutSubjectMissing: {
    status: 400,
    retryable: false,
    message: 'The logout token names only a session, and Waybill stores none. Send one with a subject (sub).',
  },
  TokenRequestInvalid: {
    status: 400,
    retryable: false,
    message:
      'The token request is malformed, or its grant belongs to no open run. Send the grant of an open run.',
  },
  TokenTypeUnsupported: {
    status: 400,
    retryable: false,
    message:
      'This endpoint only exchanges grants for step tokens. Correct the grant_type and the token types.',
  },
  TokenAudienceRefused: {
    status: 400,
    retryable: false,
    message: 'The step may not call this audience. Ask for the origin of the source of its run.',
  },
  WorkloadUnauthenticated: {
    status: 401,
    retryable: false,
    message: 'The client assertion is not valid. Sign it with a key that WAYBILL_WORKLOADS lists.',
  },
  TooManyRequests: {
    status: 429,
    retryable: true,
    message: 'Too many requests. Wait as long as Retry-After says.',
  },
  LimitReached: {
    status: 429,
    retryable: true,
    message:
      'A limit of your tenant is reached. Send the request again after Retry-After, or ask an operator for a higher limit.',
  },
  Overloaded: {
    status: 503,
    retryable: true,
    message: 'The API has as much to do as it can. Send the request again after Retry-After.',
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
      'The recorded approval does not match its digest. Ask an operator to check who wrote to the database.',
  },
  DatabaseUnavailable: {
    status: 503,
    retryable: true,
    message: 'The database does not answer, so nothing can be recorded. Try again later.',
  },
  StorageUnavailable: {
    status: 503,
    retryable: true,
    message: 'The object store does not answer, so no data can be stored. Try again later.',
  },
  IdentityProviderUnavailable: {
    status: 503,
    retryable: true,
    message: 'The identity provider does not answer. Try again later.',
  },
} as const;
