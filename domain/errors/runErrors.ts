import type { ErrorTable } from './errorTable.ts';

/** During a run: reasons of its end. */
export const runErrors = {
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
  DeadlineExceeded: {
    status: 409,
    retryable: false,
    message: 'The run did not end within the deadline of its pipeline.',
  },
  RunCancelled: { status: 409, retryable: false, message: 'The run was cancelled.' },
} as const satisfies ErrorTable;
