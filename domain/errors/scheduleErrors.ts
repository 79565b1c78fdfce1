import type { ErrorTable } from './errorTable.ts';

/** Whether a schedule may fire: reasons of one that is blocked or paused, and of a firing that began nothing. */
export const scheduleErrors = {
  ConsentRequired: {
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
  ScheduleDrifted: {
    status: 409,
    retryable: false,
    message: 'What Temporal has of the schedule is not what is on record. It is being put right.',
  },
  PausedExternally: {
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
} as const satisfies ErrorTable;
