/** Asked for are stewards and operators; the policy lets stewards alone. */
export const asked = ['data-steward', 'operator'];
const may = ['data-steward'];

const kinds = ['person', 'person through an agent', 'service', 'agent'] as const;
const roles = [
  ['data-steward'],
  ['operator'],
  ['data-engineer'],
  ['data-engineer', 'data-steward', 'operator'],
  ['of-no-meaning'],
];
const relations = [
  'uninvolved',
  'requester',
  'behind the agent that asked',
  'the agent that asked',
  'voted before',
  'revoked',
  'of another tenant',
] as const;
export const states = [
  'as shown',
  'changed',
  'void',
  'approved',
  'rejected',
  'expired',
  'cancelled',
] as const;

export interface Case {
  kind: (typeof kinds)[number];
  roles: readonly string[];
  relation: (typeof relations)[number];
  state: (typeof states)[number];
}

/** What the API and the command line answer, and what the run does; `null`: the decision counts. */
interface Answers {
  requestErrors: string | null;
  inTheRun: string | null;
}

export const cases: Case[] = kinds.flatMap((kind) =>
  roles.flatMap((roles) =>
    relations.flatMap((relation) =>
      states
        // Who is no person gets no further, whatever becomes of the approval.
        .filter((state) => kind === 'person' || state === 'as shown' || state === 'approved')
        .map((state) => ({ kind, roles, relation, state })),
    ),
  ),
);

/** What docs/approvals.md says, once more and by itself. */
export function expected({ kind, roles, relation, state }: Case): Answers {
  const both = (code: string | null): Answers => ({ requestErrors: code, inTheRun: code });
  // A decision of a principal that is no human cannot be recorded.
  const inTheRun = kind === 'person' ? undefined : 'DecisionInvalid';
  if (relation === 'of another tenant')
    return { requestErrors: 'ApprovalNotFound', inTheRun: inTheRun ?? 'DecisionMismatch' };
  if (relation === 'revoked')
    return { requestErrors: 'PrincipalRevoked', inTheRun: inTheRun ?? 'PrincipalRevoked' };
  if (inTheRun) return { requestErrors: 'ApproverNotHuman', inTheRun };
  if (
    relation === 'requester' ||
    relation === 'behind the agent that asked' ||
    relation === 'the agent that asked'
  )
    return both('ApproverIsRequester');
  if (!roles.some((role) => asked.includes(role))) return both('ApproverLacksRole');
  if (!roles.some((role) => may.includes(role))) return both('Forbidden');
  if (state === 'changed' || state === 'void') return both('ApprovalChanged');
  if (state !== 'as shown') return both('ApprovalEnded');
  return both(relation === 'voted before' ? 'ApproverHasDecided' : null);
}
