import { z } from 'zod';
import { type Approval, approvalStates } from '../domain/approvals/approval.ts';
import { gates } from '../domain/approvals/gate.ts';
import { approvalLinksOf, runLinksOf } from '../domain/links.ts';
import { DeadLetterView } from './letterView.ts';
import type { ApiOptions } from './ports.ts';
import { QualityView, qualityViewOf } from './qualityView.ts';
import { RequesterView, RunView } from './runView.ts';

const count = z.int().min(0);

export const DecisionView = z.object({
  id: z.string().describe('`jti` of what was signed.'),
  decision: z.enum(['approve', 'reject']),
  by: RequesterView,
  comment: z.string().nullable(),
  form: z.record(z.string(), z.unknown()).nullable(),
  at: z.iso.datetime(),
  counted: z
    .boolean()
    .nullable()
    .describe('Whether the run has verified and counted it; `null` while it is on its way there.'),
  code: z.string().nullable().describe('Why it was not counted.'),
});

export const SignedDecisionView = DecisionView.extend({
  token: z
    .string()
    .describe(
      'What was signed. It is carried to the run already; a signal may bring it too, and it counts once.',
    ),
});

const Changes = z.object({
  added: count,
  changed: count,
  unchanged: count,
  deduplicated: count,
  removed: count.optional().describe('Where the rows replace all that are there.'),
});

const Shown = z
  .object({
    gate: z.enum(gates),
    run: z.string(),
    pipeline: z.string(),
    version: z.int(),
    definitionDigest: z.string(),
    sourceDigest: z.string(),
    parametersDigest: z.string(),
    stages: z.array(z.string()).describe('Digests of the rows, batch by batch.'),
    baseVersion: count.describe('How often the table has been written to before.'),
    counts: RunView.shape.counts,
    changes: Changes.nullable().describe(
      'What publishing would do to the rows that are there; `null` before `ingest`.',
    ),
    changesByOutput: z
      .record(z.string(), Changes)
      .optional()
      .describe('The same for each output of a pipeline with several.'),
    rejectedByCode: z.record(z.string(), count),
    quality: QualityView.optional().describe(
      'What the quality rules of the pipeline found; absent where it has none, and before `ingest`.',
    ),
  })
  .describe('What is decided about. `digest` is the SHA-256 of this, as canonical JSON (RFC 8785).');

/** An approval as lists show it: without the digests of the rows, of which there may be many. */
export const ApprovalView = z.object({
  id: z.string(),
  run: z.string(),
  pipeline: z.string(),
  tenant: z.string(),
  gate: z.enum(gates),
  state: z.enum(approvalStates),
  round: z
    .int()
    .describe('Higher than 1 where the data changed while it waited, so that approval was requested again.'),
  digest: z.string().describe('Of what is shown; a decision names it.'),
  requestedBy: RequesterView,
  by: z.array(z.string()).describe('Roles of which an approver needs one.'),
  quorum: z.int().describe('So many different people must approve; one rejection ends it.'),
  counts: RunView.shape.counts,
  changes: Shown.shape.changes,
  rejectedByCode: Shown.shape.rejectedByCode,
  sampleRows: z
    .int()
    .nullable()
    .describe('How many rows the sample has; only a principal who may see values can read it.'),
  form: z
    .record(z.string(), z.unknown())
    .nullable()
    .describe('JSON Schema (2020-12) of what an approver fills in.'),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  escalatedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
  decisions: z.array(DecisionView),
  links: z.object({
    self: z.string(),
    run: z.string(),
    decisions: z.string(),
    sample: z.string().nullable(),
  }),
});

export const ApprovalDetail = ApprovalView.extend({
  shown: Shown,
  rejections: z
    .array(DeadLetterView)
    .describe('The first 20 rejected records of the run, where it waits before `publish`.'),
});

export function approvalViewOf(approval: Approval, options: ApiOptions): z.infer<typeof ApprovalView> {
  const { runId, sample, shown, decisions, by, ...rest } = approval;
  const { counts, changes, rejectedByCode } = shown;
  const { self, decisions: decide, sample: revealed } = approvalLinksOf(approval.id, options.publicUrl);
  return {
    ...rest,
    run: runId,
    by: [...by],
    counts,
    changes,
    rejectedByCode: { ...rejectedByCode },
    sampleRows: sample?.rows ?? null,
    decisions: decisions.map(decisionViewOf),
    links: {
      self,
      run: runLinksOf(runId, options.publicUrl).self,
      decisions: decide,
      sample: sample && revealed,
    },
  };
}

export function approvalDetailOf(
  approval: Approval,
  rejections: z.infer<typeof ApprovalDetail>['rejections'],
  options: ApiOptions,
): z.infer<typeof ApprovalDetail> {
  const { stages, rejectedByCode, changesByOutput, quality, ...shown } = approval.shown;
  return {
    ...approvalViewOf(approval, options),
    rejections,
    shown: {
      ...shown,
      ...(changesByOutput && { changesByOutput: { ...changesByOutput } }),
      stages: [...stages],
      rejectedByCode: { ...rejectedByCode },
      ...(quality && { quality: qualityViewOf(quality) }),
    },
  };
}

export function decisionViewOf({
  vote,
  counted,
  ...decision
}: Approval['decisions'][number]): z.infer<typeof DecisionView> {
  const refused = typeof counted === 'string';
  return {
    ...decision,
    decision: vote,
    counted: refused ? false : counted,
    code: refused ? counted : null,
  };
}
