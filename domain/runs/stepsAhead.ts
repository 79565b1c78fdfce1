/** The steps that a small run may take ahead, in the activity of `ingest`. */
export const aheadSteps = ['validate', 'transform', 'store', 'publish', 'finalize'] as const;
export type AheadStep = (typeof aheadSteps)[number];

/** A step and its argument, as its workflow would call it. */
export type StepCall = readonly [step: AheadStep, argument?: unknown];

/** What came of the steps that were taken ahead. Steps that are missing here are still to be taken. */
export interface StepsAhead {
  results: { [Step in AheadStep]?: unknown };
  /** The step that ended them and is not to be retried. */
  failed?: { step: AheadStep; code: string; message: string };
}
