import { z } from 'zod';
import { type QualityResult, qualityKinds } from '../domain/quality/quality.ts';
import { onBreaches } from '../domain/quality/qualityTerms.ts';

const count = z.int().min(0);

/** What the quality rules of a pipeline found in a run. No value of a row is in it. */
export const QualityView = z.object({
  onBreach: z.enum(onBreaches).describe('What a breach of any rule leads to.'),
  state: z.enum(['passed', 'breached']),
  rules: z.array(
    z.object({
      rule: z.string(),
      kind: z.enum(qualityKinds),
      state: z.enum(['passed', 'breached', 'skipped']).describe('`skipped`: it does not apply to this run.'),
      expected: z.string(),
      found: z.string(),
      rows: count.optional().describe('Of how many rows, or records, the rule counts.'),
      off: count.optional().describe('How many of them break it.'),
    }),
  ),
});

export function qualityViewOf({ onBreach, state, rules }: QualityResult): z.infer<typeof QualityView> {
  return { onBreach, state, rules: rules.map((rule) => ({ ...rule })) };
}
