import type { ErrorTable } from './errorTable.ts';

/** Whether a decision counts, and whether what it is about may go on. */
export const decisionErrors = {
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
} as const satisfies ErrorTable;
