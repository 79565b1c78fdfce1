/** Why a schedule is blocked or paused, and why a firing starts no run. */
export const scheduleErrors = {
  ConsentRequired: {
    status: 409,
    retryable: false,
    message: 'The owner has not consented to the current terms of the schedule. Ask the owner to renew.',
  },
  DelegationInvalid: {
    status: 403,
    retryable: false,
    message: 'The consent of the schedule is not validly signed. Ask the owner to renew it.',
  },
  DelegationExpired: {
    status: 403,
    retryable: false,
    message: 'The consent of the owner has expired. Ask the owner to renew it.',
  },
  DelegationRevoked: {
    status: 403,
    retryable: false,
    message:
      'The consent of the owner, or the owner’s access, is revoked. Restore it, or ask the owner to renew.',
  },
  DefinitionChanged: {
    status: 409,
    retryable: false,
    message: 'The pipeline has changed since the owner consented. Ask the owner to renew.',
  },
  DefinitionNotApplied: {
    status: 503,
    retryable: true,
    message: 'The code of the pipeline is not applied yet. Run waybill apply; the firing is retried.',
  },
  ZoneDataDiffers: {
    status: 409,
    retryable: false,
    message:
      'Temporal and Waybill have different rules for the time zone. Update the older zone data, or schedule by UTC.',
  },
  ScheduleNotActive: {
    status: 409,
    retryable: false,
    message: 'The schedule is paused or blocked. Resume it first.',
  },
  ScheduleDrifted: {
    status: 409,
    retryable: false,
    message:
      'The schedule in Temporal differs from the recorded one. Waybill is correcting it; no action is needed.',
  },
  PausedExternally: {
    status: 409,
    retryable: false,
    message: 'The schedule was paused in Temporal itself. Resume it through Waybill.',
  },
  PausedOnFailure: {
    status: 409,
    retryable: false,
    message: 'A run of the schedule failed, and pauseOnFailure is set. Resume it once the cause is fixed.',
  },
  FiringRefused: {
    status: 403,
    retryable: false,
    message: 'This is no due firing of the schedule. Start a run through Waybill instead.',
  },
  FiringSkipped: {
    status: 409,
    retryable: false,
    message: 'The previous run was still open at this time. Backfill the time if it is needed.',
  },
  FiringMissed: {
    status: 409,
    retryable: false,
    message: 'The time lies further back than catchUp allows. Backfill it if it is needed.',
  },
  FiringUnavailable: {
    status: 503,
    retryable: true,
    message:
      'The API does not say whether the schedule may fire. Check the API and the workload key; the firing is retried.',
  },
  TemporalUnavailable: {
    status: 503,
    retryable: true,
    message: 'Temporal does not answer. Try again later.',
  },
} as const;
