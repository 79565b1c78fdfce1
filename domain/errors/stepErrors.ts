/** Why an attempt of a step is rejected: its grant, the policy, or the decision that it relies on. */
export const stepErrors = {
  GrantMissing: {
    status: 403,
    retryable: false,
    message: 'The run carries no grant. Start it through Waybill, not through Temporal.',
  },
  GrantMalformed: {
    status: 403,
    retryable: false,
    message: 'The header of the run is not a grant. Start a new run through Waybill.',
  },
  GrantAlgorithmUnsupported: {
    status: 403,
    retryable: false,
    message: 'The grant uses an unsupported algorithm or header. Start a new run through Waybill.',
  },
  GrantTypeMismatch: {
    status: 403,
    retryable: false,
    message: 'The run carries a token of another type. Start a new run through Waybill.',
  },
  GrantKeyNotFound: {
    status: 403,
    retryable: false,
    message: 'The grant names an unknown key. Check the key roots of the worker, then start a new run.',
  },
  GrantKeyRetired: {
    status: 403,
    retryable: false,
    message: 'The grant was signed after its key had retired. Revoke that key: it may be stolen.',
  },
  GrantInvalid: {
    status: 403,
    retryable: false,
    message: 'The signature of the grant is invalid. Start a new run through Waybill.',
  },
  GrantIssuerMismatch: {
    status: 403,
    retryable: false,
    message: 'The grant comes from another Waybill. Start the run on the Waybill that executes it.',
  },
  GrantMismatch: {
    status: 403,
    retryable: false,
    message: 'The grant belongs to another run, or to other arguments. Start a new run through Waybill.',
  },
  StepNotGranted: {
    status: 403,
    retryable: false,
    message: 'The grant does not allow this step. Start a new run of the current definition.',
  },
  GrantExpired: {
    status: 403,
    retryable: false,
    message: 'The grant has expired. The requester can resume the run under a new one.',
  },
  GrantRevoked: {
    status: 403,
    retryable: false,
    message:
      'The grant, its key or its principal is revoked. The run continues once access is restored or the run is resumed.',
  },
  PolicyDenied: {
    status: 403,
    retryable: false,
    message: 'The current policy does not allow this step. The run continues once the policy does.',
  },
  KeysUnavailable: {
    status: 503,
    retryable: true,
    message:
      'The signing keys cannot be read. Check the key folder, the roots file and the key set; the step is retried.',
  },
  RevocationsUnavailable: {
    status: 503,
    retryable: true,
    message: 'The revocations cannot be read. Try again later.',
  },
  PolicyUnavailable: {
    status: 503,
    retryable: true,
    message: 'The policy cannot be read. Try again later.',
  },
  PolicyInvalid: {
    status: 500,
    retryable: false,
    message: 'The policies do not match their schema. waybill policy test shows where.',
  },
  TokenUnavailable: {
    status: 503,
    retryable: true,
    message: 'The token endpoint issues no token. Check the workload key; the step is retried.',
  },
  DecisionInvalid: {
    status: 403,
    retryable: false,
    message: 'The decision is not validly signed, or no longer holds. Decide through Waybill.',
  },
  DecisionMismatch: {
    status: 403,
    retryable: false,
    message: 'The decision belongs to another approval, or to another comment or form. Decide again.',
  },
  ApprovalRequired: {
    status: 403,
    retryable: false,
    message: 'The step needs an approval that the run does not have. Start the run again.',
  },
} as const;
