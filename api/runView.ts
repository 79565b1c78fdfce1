import { z } from 'zod';
import { gates } from '../domain/approvals/gate.ts';
import { approvalLinksOf, inputLinkOf, runLinksOf } from '../domain/links.ts';
import { principalKinds } from '../domain/principal.ts';
import { type Run, runStates } from '../domain/runs/run.ts';
import { RunCounts } from '../domain/webhooks/webhookEvent.ts';
import type { ApiOptions } from './ports.ts';
import { QualityView, qualityViewOf } from './qualityView.ts';
import { temporalLinkOf } from './temporalLink.ts';

const kind = z.enum(principalKinds);
const total = z.int().min(0);

/** Who asks, and who acts for them. */
export const RequesterView = z.object({
  id: z.string(),
  issuer: z.string(),
  subject: z.string(),
  kind,
  actor: z.object({ id: z.string(), issuer: z.string(), subject: z.string(), kind }).optional(),
});

/** A run as HTTP shows it. */
export const RunView = z.object({
  id: z.string().describe('`<pipeline>-<uuidv7>`; also the workflow id in Temporal.'),
  pipeline: z.string(),
  state: z.enum(runStates),
  tenant: z.string(),
  requestedBy: RequesterView,
  counts: RunCounts.describe(
    '`read = passed + filtered + rejected`, `emitted = stored + unchanged + deduplicated` once it has completed. Of a run that ' +
      'failed or was cancelled, `read` also counts records that it did not transform, and none of the rows that it did not store is `emitted`.',
  ),
  countsByOutput: z
    .record(z.string(), z.object({ emitted: total, stored: total, unchanged: total, deduplicated: total }))
    .optional()
    .describe('What of `counts` is stored, for each output of a pipeline with several.'),
  createdAt: z.iso.datetime(),
  startedAt: z.iso.datetime().nullable(),
  endedAt: z.iso.datetime().nullable(),
  reason: z.object({ code: z.string(), message: z.string() }).optional(),
  recordsAhead: z
    .int()
    .min(1)
    .optional()
    .describe(
      'How many records of an incremental source lie after the run began. They are stored, and do not move the watermark.',
    ),
  unknownFields: z
    .int()
    .min(1)
    .optional()
    .describe('How many fields that the input does not name it kept or dropped, as its pipeline says.'),
  leftBytes: z
    .int()
    .min(1)
    .optional()
    .describe('Bytes at the end of a growing file that are no complete record yet; a later run reads them.'),
  retrying: z
    .object({
      step: z.string(),
      code: z.string(),
      message: z.string(),
      attempt: z.int().min(1).describe('The attempt that failed.'),
      nextAttemptAt: z.iso.datetime(),
    })
    .optional()
    .describe(
      'Why an open run makes no progress: the last failed attempt of a step, and when it is retried.',
    ),
  deadLetters: z
    .object({ open: total, repaired: total, redriving: total, resolved: total, discarded: total })
    .optional()
    .describe(
      'Of the records that it rejected, how many are in which state. It is addressed once none is open, repaired or redriving.',
    ),
  throttle: z
    .string()
    .optional()
    .describe(
      'How many of its dead letters a redrive begins in a time, such as `50/s`, where it is throttled.',
    ),
  quality: QualityView.optional().describe(
    'What the quality rules of the pipeline found, once that is known; absent where it has none.',
  ),
  gate: z
    .enum(gates)
    .optional()
    .describe(
      'Before what it waits for people, where its definition says so; it may not have come there yet.',
    ),
  links: z.object({
    self: z.string(),
    events: z.string(),
    audit: z.string(),
    input: z
      .string()
      .optional()
      .describe(
        'Where its data goes, of a run that was accepted before its data. See docs/upload-with-curl.md.',
      ),
    approval: z.string().optional().describe('What it waits for, while it waits for people.'),
    temporal: z.string().nullable(),
  }),
});

export function runViewOf(
  { definition, approval, resumable, quality, ...run }: Run,
  options: ApiOptions,
): z.infer<typeof RunView> {
  const { publicUrl } = options;
  const asked = approval !== undefined && { approval: approvalLinksOf(approval, publicUrl).self };
  const gate = definition.approval?.before;
  return {
    ...run,
    ...(quality && { quality: qualityViewOf(quality) }),
    ...(gate && { gate }),
    links: {
      ...runLinksOf(run.id, publicUrl),
      ...(resumable && { input: inputLinkOf(run.id, publicUrl) }),
      ...asked,
      temporal: temporalLinkOf(options, 'workflows', run.id),
    },
  };
}
