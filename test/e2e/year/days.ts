/** What people make of the run of a day, or of the right that it would run by. */
export type Day =
  | 'approved'
  | 'reminded'
  | 'rejected'
  | 'escalated'
  | 'half'
  | 'unanswered'
  | 'revoked'
  | 'withdrawn';

type Vote = { afterHours: number; who: 'bob' | 'erin' | 'frank'; vote: 'approve' | 'reject' };

/** How a gated day goes: who says what when, what time brings in between, and the end. */
export interface Course {
  votes: readonly Vote[];
  lapses: readonly ('reminded' | 'escalated' | 'expired')[];
  run: 'completed' | 'ApprovalRejected' | 'ApprovalExpired';
  /** Before the first vote the owner’s right is withdrawn, and comes back a day later. */
  withdrawn?: true;
}

const approve = (who: Vote['who'], afterHours: number): Vote => ({ afterHours, who, vote: 'approve' });

const untilEscalated = ['reminded', 'reminded', 'reminded', 'escalated'] as const;
const untilExpired = [...untilEscalated, 'reminded', 'reminded', 'reminded', 'expired'] as const;

/** As `project/pipelines/books.ts` has its terms: reminded each 3 h, escalated after 10 h, over after 20 h, two who approve. */
export const courses: Readonly<Record<Exclude<Day, 'revoked'>, Course>> = {
  approved: { votes: [approve('bob', 1), approve('erin', 2)], lapses: [], run: 'completed' },
  reminded: {
    votes: [approve('erin', 7), approve('bob', 8)],
    lapses: ['reminded', 'reminded'],
    run: 'completed',
  },
  rejected: {
    votes: [approve('bob', 1), { afterHours: 4, who: 'erin', vote: 'reject' }],
    lapses: ['reminded'],
    run: 'ApprovalRejected',
  },
  escalated: {
    votes: [approve('frank', 12), approve('bob', 14)],
    lapses: [...untilEscalated, 'reminded'],
    run: 'completed',
  },
  half: { votes: [approve('erin', 1)], lapses: untilExpired, run: 'ApprovalExpired' },
  unanswered: { votes: [], lapses: untilExpired, run: 'ApprovalExpired' },
  withdrawn: {
    votes: [approve('bob', 2), approve('erin', 2.5)],
    lapses: [],
    run: 'completed',
    withdrawn: true,
  },
};

/** The kind of the nth day: mostly approved, and each month has something of everything. */
export function dayOf(n: number): Day {
  if (n % 30 === 12) return 'revoked';
  if (n % 30 === 19) return 'withdrawn';
  if (n % 7 === 3) return 'rejected';
  if (n % 7 === 5) return 'reminded';
  if (n % 10 === 4) return 'escalated';
  if (n % 10 === 8) return n % 20 === 8 ? 'half' : 'unanswered';
  return 'approved';
}
