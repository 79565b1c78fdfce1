import { z } from 'zod';
import { parseDuration } from '../duration.ts';
import { DefinitionError } from '../pipelines/definitionError.ts';
import { checkStrict } from '../pipelines/strictSchema.ts';
import { roleNameMax } from '../principal.ts';
import type { ApprovalCode } from './approvalTerms.ts';
import { type ApprovalManifest, gates } from './gate.ts';

const dayMs = 24 * 60 * 60 * 1000;

const role = z
  .string()
  .max(roleNameMax)
  .regex(/^[^\0]+$/, 'must be the name of a role');
const roles = z.union([role.transform((one) => [one]), z.array(role).min(1).max(16)]);
const duration = z.string().transform((text, context) => {
  const durationMs = parseDuration(text);
  if (durationMs !== undefined && durationMs <= 366 * dayMs) return durationMs;
  context.addIssue({ code: 'custom', message: 'must be a duration such as 90m, 24h or 3d, of 1s to 366d' });
  return z.NEVER;
});

/** The field `approval` of a definition, as it is written. */
export const WrittenApproval = z
  .strictObject({
    before: z.enum(gates),
    by: roles,
    when: z
      .custom<(summary: never) => unknown>((value) => typeof value === 'function', 'must be a function')
      .optional(),
    quorum: z.int().min(1).max(16).default(1),
    within: duration.optional(),
    onTimeout: z.enum(['reject', 'escalate']).default('reject'),
    escalateTo: roles.optional(),
    remind: duration.optional(),
    form: z
      .custom<z.ZodType>(
        (value) => typeof value === 'object' && value !== null && '_zod' in value,
        'must be a zod 4 schema',
      )
      .optional(),
    notify: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .max(2048)
      .optional(),
  })
  .refine(({ onTimeout, escalateTo }) => (onTimeout === 'escalate') === (escalateTo !== undefined), {
    path: ['escalateTo'],
    error: 'goes with onTimeout: ‘escalate’: say who may decide then',
  });

/**
 * Splits what is written into what the manifest carries and the code beside it. An approval ends within the deadline of its
 * pipeline, for afterwards the run has no grant to go on under. Throws `DefinitionError`.
 */
export function describeApproval(
  written: z.output<typeof WrittenApproval>,
  deadlineMs: number,
): { terms: ApprovalManifest; code: ApprovalCode } {
  const { before, by, when, quorum, onTimeout, escalateTo = [], remind: remindMs, form, notify } = written;
  const roundsMax = onTimeout === 'escalate' ? 2 : 1;
  const withinMs = written.within ?? Math.min(dayMs, Math.floor(deadlineMs / roundsMax));
  if (withinMs * roundsMax > deadlineMs)
    fail('within', `goes beyond the deadline of the pipeline${roundsMax > 1 ? ' once it escalates' : ''}`);
  if (remindMs !== undefined && remindMs >= withinMs) fail('remind', 'must be shorter than within');
  const jsonSchema = form && schemaOf(form);
  return {
    terms: {
      before,
      by,
      conditional: when !== undefined,
      quorum,
      withinMs,
      onTimeout,
      escalateTo,
      ...(remindMs !== undefined && { remindMs }),
      ...(jsonSchema && { form: jsonSchema }),
      ...(notify !== undefined && { notify }),
    },
    code: { ...(when && { when }), ...(form && { form }) },
  };
}

function schemaOf(form: z.ZodType): Record<string, unknown> {
  checkStrict('approval.form', form);
  try {
    return z.toJSONSchema(form, { io: 'input' }) as Record<string, unknown>;
  } catch (error) {
    return fail('form', `has no JSON Schema to show to the approver: ${(error as Error).message}`);
  }
}

function fail(path: string, message: string): never {
  throw new DefinitionError('approval', [{ path, message }]);
}
