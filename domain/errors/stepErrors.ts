import type { ErrorTable } from './errorTable.ts';

/** Whether a step may work: reasons of a refused attempt. */
export const stepErrors = {
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
  GrantKeyNotFound: {
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
} as const satisfies ErrorTable;
