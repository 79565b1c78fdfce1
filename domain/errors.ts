/**
 * Every failure that Waybill names: what it means over HTTP and to Temporal, and what a caller may read.
 * Codes never change once released. `docs/errors.md` lists the same table; a test compares the two.
 * The public message is safe to show and says what to do next; the private detail goes to the log only.
 */
export const errors = {
  // At the door: 4xx problems.
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
  PipelineUnknown: {
    status: 404,
    retryable: false,
    message: 'No such pipeline. GET /v1/pipelines lists them.',
  },
  RunUnknown: { status: 404, retryable: false, message: 'No such run. GET /v1/runs lists them.' },
  RevocationUnknown: {
    status: 404,
    retryable: false,
    message: 'No such revocation. GET /v1/revocations lists them.',
  },
  DeliveryUnknown: {
    status: 404,
    retryable: false,
    message: 'No such delivery. GET /v1/deliveries lists them.',
  },
  ApprovalUnknown: {
    status: 404,
    retryable: false,
    message: 'No such approval. GET /v1/approvals lists them.',
  },
  SampleUnknown: {
    status: 404,
    retryable: false,
    message: 'No sample is kept of what this approval is about. It goes with its rows.',
  },
  ScheduleUnknown: {
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
  RevokesYourself: {
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
  // Whether a step may work: reasons of a refused attempt.
  GrantMissing: {
    status: 403,
    retryable: false,
    message: 'The run carries no grant. Start it through Waybill, not through Temporal.',
  },
  GrantMalformed: { status: 403, retryable: false, message: 'What the run carries is not a grant.' },
  GrantAlgorithmRefused: {
    status: 403,
    retryable: false,
    message: 'The grant of the run is protected by an algorithm or an extension that is not accepted.',
  },
  GrantTypeMismatch: {
    status: 403,
    retryable: false,
    message: 'What the run carries is a token of another kind.',
  },
  GrantKeyUnknown: {
    status: 403,
    retryable: false,
    message: 'The grant of the run names a key that this Waybill never had.',
  },
  GrantKeyRetired: {
    status: 403,
    retryable: false,
    message: 'The grant of the run was signed after its key had been retired.',
  },
  GrantInvalid: {
    status: 403,
    retryable: false,
    message: 'The grant of the run was not signed by this Waybill.',
  },
  GrantIssuerMismatch: {
    status: 403,
    retryable: false,
    message: 'The grant of the run is one of another Waybill.',
  },
  GrantMismatch: { status: 403, retryable: false, message: 'The grant of the run was given to another run.' },
  StepNotGranted: { status: 403, retryable: false, message: 'The grant of the run does not name this step.' },
  GrantExpired: {
    status: 403,
    retryable: false,
    message: 'The grant of the run has expired. Whoever asked for the run can resume it.',
  },
  GrantRevoked: {
    status: 403,
    retryable: false,
    message: 'The right under which the run acts has been withdrawn. It goes on once that is restored.',
  },
  PolicyDenied: {
    status: 403,
    retryable: false,
    message: 'Today’s policy does not let the run do this. It goes on once the policy does.',
  },
  KeysUnavailable: { status: 503, retryable: true, message: 'The public keys cannot be read right now.' },
  RevocationsUnavailable: {
    status: 503,
    retryable: true,
    message: 'It cannot be known right now what has been revoked. Try again later.',
  },
  PolicyUnavailable: {
    status: 503,
    retryable: true,
    message: 'The policy cannot be read right now. Try again later.',
  },
  PolicyInvalid: {
    status: 500,
    retryable: false,
    message: 'The policies do not fit their schema. waybill policy test says where.',
  },
  TokenUnavailable: {
    status: 503,
    retryable: true,
    message: 'The token endpoint does not answer. Try again later.',
  },
  // Whether a decision counts, and whether what it is about may go on.
  DecisionInvalid: {
    status: 403,
    retryable: false,
    message: 'The decision was not signed by this Waybill, or no longer holds. Decide through Waybill.',
  },
  DecisionMismatch: {
    status: 403,
    retryable: false,
    message: 'The decision was made about another approval, or with other words.',
  },
  ApprovalMissing: {
    status: 403,
    retryable: false,
    message: 'The run came to a step that needs an approval, and none stands.',
  },
  // Whether a schedule may fire: reasons of one that is blocked or paused, and of a firing that began nothing.
  ConsentNeeded: {
    status: 409,
    retryable: false,
    message: 'The owner of the schedule has not agreed to what it does now. They can renew their consent.',
  },
  DelegationInvalid: {
    status: 403,
    retryable: false,
    message: 'The consent of the schedule is none that this Waybill has signed for it.',
  },
  DelegationExpired: {
    status: 403,
    retryable: false,
    message: 'The consent of the owner has expired. They can renew it.',
  },
  DelegationRevoked: {
    status: 403,
    retryable: false,
    message: 'The consent of the owner, or their right, has been withdrawn.',
  },
  DefinitionChanged: {
    status: 409,
    retryable: false,
    message: 'The pipeline is not the one that the owner agreed to. They can renew their consent.',
  },
  ScheduleNotActive: { status: 409, retryable: false, message: 'The schedule is paused or blocked.' },
  ScheduleTampered: {
    status: 409,
    retryable: false,
    message: 'What Temporal has of the schedule is not what is on record. It is being put right.',
  },
  PausedOutside: {
    status: 409,
    retryable: false,
    message: 'The schedule was paused in Temporal from outside.',
  },
  PausedOnFailure: {
    status: 409,
    retryable: false,
    message: 'A run of the schedule failed, and it is to pause then.',
  },
  FiringRefused: {
    status: 403,
    retryable: false,
    message: 'That is no firing of the schedule that is due. Ask Waybill for a run instead.',
  },
  FiringSkipped: {
    status: 409,
    retryable: false,
    message: 'The run before went on when this one was due.',
  },
  FiringMissed: {
    status: 409,
    retryable: false,
    message: 'It is later than the catch-up of the schedule allows.',
  },
  FiringUnavailable: {
    status: 503,
    retryable: true,
    message: 'The API cannot be asked right now whether the schedule may fire.',
  },
  TemporalUnavailable: {
    status: 503,
    retryable: true,
    message: 'Temporal does not answer right now. Try again later.',
  },
  // During a run: reasons of its end.
  ApprovalRejected: { status: 409, retryable: false, message: 'The approval of the run was refused.' },
  ApprovalExpired: {
    status: 409,
    retryable: false,
    message: 'Nobody approved the run in time. Nothing was published. Start it again.',
  },
  DefinitionUnavailable: {
    status: 503,
    retryable: true,
    message: 'No worker has this definition of the pipeline. Deploy it again.',
  },
  SourceUnavailable: { status: 502, retryable: true, message: 'The source does not answer.' },
  SourceRefused: {
    status: 422,
    retryable: false,
    message: 'The source lies outside what this Waybill may read.',
  },
  SourceChanged: {
    status: 422,
    retryable: false,
    message: 'The source changed while it was read, or since the last run. Start a new run.',
  },
  SourceEmpty: { status: 422, retryable: false, message: 'The source holds no data.' },
  CallbackFailed: {
    status: 502,
    retryable: true,
    message: 'The receiver did not take the event. It is sent again for three days.',
  },
  CallbackNotGranted: {
    status: 403,
    retryable: false,
    message: 'The grant of the run names no such receiver, or other links. Nothing was sent.',
  },
  ReceiverBusy: {
    status: 503,
    retryable: true,
    message: 'As many events as allowed are on their way to this receiver or from this tenant.',
  },
  BatchMissing: { status: 500, retryable: true, message: 'A batch is not where it was recorded.' },
  BatchCorrupt: {
    status: 500,
    retryable: false,
    message: 'The bytes of a batch are not the bytes that were recorded.',
  },
  SinkRejected: {
    status: 422,
    retryable: false,
    message: 'The database refused a row that the output schema allows. Correct the pipeline.',
  },
  SinkIncompatible: {
    status: 500,
    retryable: false,
    message: 'The table does not fit the output of the pipeline.',
  },
  TransformFailed: { status: 500, retryable: false, message: 'The transform threw on a record.' },
  CountsMismatch: {
    status: 500,
    retryable: false,
    message: 'The counts of the run do not add up. Its rows need a look.',
  },
  RunTerminated: { status: 409, retryable: false, message: 'The run was ended in Temporal from outside.' },
  RunOverdue: {
    status: 409,
    retryable: false,
    message: 'The run did not end within the deadline of its pipeline.',
  },
  RunCancelled: { status: 409, retryable: false, message: 'The run was cancelled.' },
} as const satisfies Record<string, { status: number; retryable: boolean; message: string }>;

export type ErrorCode = keyof typeof errors;

/** A failure with a stable code. `detail` is private: it goes to the log, never to a caller. */
export class WaybillError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  /** Safe to show: which fields of the request were wrong, as `{ path, message }`. */
  readonly issues: readonly Issue[] | undefined;
  /** Safe to show: what the policy does not let the caller do. */
  readonly denied: Denied | undefined;
  /** When it is worth trying again, where that is known better than by a table. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    options: {
      detail?: string;
      issues?: readonly Issue[];
      denied?: Denied;
      cause?: unknown;
      retryAfterMs?: number;
    } = {},
  ) {
    super(errors[code].message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = code;
    this.code = code;
    this.detail = options.detail;
    this.issues = options.issues;
    this.denied = options.denied;
    this.retryAfterMs = options.retryAfterMs;
  }

  get retryable(): boolean {
    return errors[this.code].retryable;
  }
}

export interface Issue {
  /** JSON-pointer-like path into the request, `''` for the whole. */
  path: string;
  message: string;
}

/** All that a denied caller learns; why is for whoever may ask for an explanation. */
export interface Denied {
  action: string;
  /** Such as `pipeline orders`. */
  resource: string;
  /** Whom to ask, such as `whoever is operator in acme`. */
  ask: string;
}
