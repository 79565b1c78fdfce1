/**
 * Life of a rejected record: `open`; `repaired` once it is edited; `redriving` while a run has it; then `resolved`, its record
 * stored or filtered, or `open` again with a new reason. `discarded` by a principal, with a reason, for good.
 */
export const letterStates = ['open', 'repaired', 'redriving', 'resolved', 'discarded'] as const;
export type LetterState = (typeof letterStates)[number];

/** The step that rejected it. */
export type LetterStage = 'validate' | 'transform' | 'store';

/** How many letters of a run are in which state. */
export type LetterCounts = Readonly<Record<LetterState, number>>;

export const noLetters: LetterCounts = Object.freeze({
  open: 0,
  repaired: 0,
  redriving: 0,
  resolved: 0,
  discarded: 0,
});

/** What may be chosen of letters. All of it is optional, and all that is given must hold. */
export interface LetterFilter {
  run?: string | undefined;
  pipeline?: string | undefined;
  code?: string | undefined;
  path?: string | undefined;
  state?: LetterState | undefined;
  /** RFC 3339; when the record was rejected first. */
  from?: string | undefined;
  to?: string | undefined;
}
