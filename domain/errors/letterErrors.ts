/** Why a request about rejected records, or about a run again, is rejected. */
export const letterErrors = {
  DeadLetterNotFound: {
    status: 404,
    retryable: false,
    message: 'There is no such dead letter, or you may not see it. Check its id.',
  },
  DeadLetterNotOpen: {
    status: 409,
    retryable: false,
    message: 'The dead letter is under way in a run, or done with. See its state and its run.',
  },
  DeadLettersChanged: {
    status: 409,
    retryable: true,
    message:
      'A dead letter was changed while the request was under way. Look at it again, then repeat the request.',
  },
  NoOpenDeadLetters: {
    status: 409,
    retryable: false,
    message: 'No open dead letter fits the request. List them to see their states.',
  },
  ParametersDiffer: {
    status: 409,
    retryable: false,
    message:
      'The dead letters are of runs with different parameters. Redrive those of one run, or send the parameters.',
  },
  RepairRejected: {
    status: 422,
    retryable: false,
    message: 'The edited record still does not fit, so it is not kept. Correct what the issues name.',
  },
  RedriveUnsupported: {
    status: 409,
    retryable: false,
    message:
      'The pipeline replaces its whole table, so some records alone cannot be sent again. Start a new run.',
  },
  RunNotFailed: {
    status: 409,
    retryable: false,
    message: 'Only a failed or cancelled run is retried. Start a new run instead.',
  },
  RunNotEnded: {
    status: 409,
    retryable: false,
    message: 'The run was asked to end and has not ended yet. Once it has, retry it.',
  },
  RunFullyStored: {
    status: 409,
    retryable: false,
    message: 'The run has stored all of its input. Redrive its dead letters instead.',
  },
  RunInputIncomplete: {
    status: 409,
    retryable: false,
    message:
      'The input of the run is not there as a whole, so it cannot be retried. Start a new run with the data.',
  },
} as const;
