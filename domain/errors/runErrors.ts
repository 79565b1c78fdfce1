/** Why a run fails, is retried or ends. */
export const runErrors = {
  ApprovalRejected: {
    status: 409,
    retryable: false,
    message: 'An approver rejected the run. Nothing was published. Correct the cause, then start a new run.',
  },
  ApprovalExpired: {
    status: 409,
    retryable: false,
    message: 'The run was not approved in time, and nothing was published. Start it again.',
  },
  DefinitionUnavailable: {
    status: 503,
    retryable: true,
    message: 'No worker has this definition of the pipeline. Deploy it again.',
  },
  SourceUnavailable: {
    status: 502,
    retryable: true,
    message: 'The source does not answer. Check it; the step is retried.',
  },
  SourceRefused: {
    status: 422,
    retryable: false,
    message: 'Waybill may not read this source. Use a source that the configuration allows.',
  },
  SourceRejected: {
    status: 422,
    retryable: false,
    message: 'The source rejected the request. Check its URL and who may read it, then start a new run.',
  },
  FormatMismatch: {
    status: 422,
    retryable: false,
    message: 'The data is not of the format that the pipeline declares. Send or name data of that format.',
  },
  DecompressionFailed: {
    status: 422,
    retryable: false,
    message: 'The compressed data cannot be read to its end. Send or name it again, whole.',
  },
  DecompressedTooLarge: {
    status: 413,
    retryable: false,
    message:
      'The compressed data becomes too large. Send it in parts, or raise limits.decompressedBytes of the pipeline.',
  },
  AllRejected: {
    status: 422,
    retryable: false,
    message:
      'Every record was rejected. See the rejections of the run; set allowAllRejected if that is fine for the pipeline.',
  },
  QualityBreached: {
    status: 422,
    retryable: false,
    message:
      'The rows break a quality rule of the pipeline, and nothing was stored. Correct the data or the rule, then start a new run.',
  },
  SourceChanged: {
    status: 422,
    retryable: false,
    message:
      'The source is not the one that was read before. Start a new run; if a growing file was replaced, restore it or raise the version of the pipeline.',
  },
  PagesEndless: {
    status: 422,
    retryable: false,
    message: 'The pages of the source lead to no end. Correct `pages` of the pipeline, or the source.',
  },
  SourceEmpty: { status: 422, retryable: false, message: 'The source holds no data. Check its path or URL.' },
  CallbackFailed: {
    status: 502,
    retryable: true,
    message: 'The receiver did not accept the event. Waybill retries for three days.',
  },
  CallbackNotGranted: {
    status: 403,
    retryable: false,
    message:
      'The grant of the run does not name this receiver or these links. Nothing was sent. Start a new run.',
  },
  ReceiverBusy: {
    status: 503,
    retryable: true,
    message: 'Too many events are in delivery to this receiver or from this tenant. The delivery is retried.',
  },
  StepResultInvalid: {
    status: 500,
    retryable: false,
    message: 'A step returned a result that contradicts the record of the run. Start a new run.',
  },
  BatchNotFound: {
    status: 500,
    retryable: true,
    message: 'The bytes of a batch are not in the object store. Check the store; the step is retried.',
  },
  BatchCorrupt: {
    status: 500,
    retryable: false,
    message: 'The bytes of a batch do not match their digest. Check the object store, then start a new run.',
  },
  StageMismatch: {
    status: 500,
    retryable: false,
    message:
      'A step computed something else than it had recorded. A transform must give the same rows each time. Start a new run.',
  },
  SinkRejected: {
    status: 422,
    retryable: false,
    message: 'The database rejected a row that the output schema allows. Correct the pipeline.',
  },
  SinkUnavailable: {
    status: 503,
    retryable: true,
    message:
      'The destination of the rows does not answer or rejects the keys. Check both; the step is retried.',
  },
  SinkRefused: {
    status: 422,
    retryable: false,
    message: 'Waybill does not write to this address. Name a public host by https, or allow the host.',
  },
  SinkIncompatible: {
    status: 500,
    retryable: false,
    message: 'The table does not match the output of the pipeline. Correct the table or the output schema.',
  },
  PipelineRefused: {
    status: 503,
    retryable: true,
    message: 'The pipeline did not fit when it was applied, so it starts no run. An operator corrects it.',
  },
  ContractBroken: {
    status: 409,
    retryable: false,
    message: 'The pipeline breaks its contract. Change it so that it fits, or raise its version.',
  },
  SystemUnavailable: {
    status: 503,
    retryable: true,
    message: 'Another system failed again and again. Check it; the run goes on once it answers.',
  },
  LookupUnavailable: {
    status: 502,
    retryable: true,
    message: 'The system that values are looked up in does not answer. Check it; the step is retried.',
  },
  LookupRefused: {
    status: 422,
    retryable: false,
    message: 'Waybill may not call this system. Name a public host by https, or allow the host.',
  },
  LookupFailed: {
    status: 500,
    retryable: false,
    message: 'The code that looks values up failed. Correct `enrich` of the pipeline.',
  },
  LookupIncomplete: {
    status: 422,
    retryable: false,
    message:
      'No value was found for a record, and the pipeline fails on a miss. Add the value, or change `onMiss` of the pipeline.',
  },
  TransformFailed: {
    status: 500,
    retryable: false,
    message: 'The transform threw on a record. Correct the transform.',
  },
  TransformTimedOut: {
    status: 500,
    retryable: false,
    message: 'The code of the pipeline did not end in time. Look for a loop that does not end.',
  },
  CountsMismatch: {
    status: 500,
    retryable: false,
    message: 'The counts of the run do not add up. Ask an operator to check its rows.',
  },
  RunTerminated: {
    status: 409,
    retryable: false,
    message: 'The run was terminated in Temporal itself. Start a new run.',
  },
  DeadlineExceeded: {
    status: 409,
    retryable: false,
    message:
      'The run did not end within the deadline of its pipeline. Start it again, or raise the deadline.',
  },
  RunCancelled: {
    status: 409,
    retryable: false,
    message: 'The run was cancelled. Start a new one if it is still needed.',
  },
} as const;
