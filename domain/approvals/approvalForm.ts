import { z } from 'zod';
import type { Approval } from './approval.ts';

type Asked = NonNullable<Approval['form']>;

/** The form of an approval as it was asked for, whatever the definition is by now; rules that only code holds are not in it. */
export function formSchemaOf(asked: Asked): z.ZodType;
export function formSchemaOf(asked: Asked | undefined): z.ZodType | undefined;
export function formSchemaOf(asked: Asked | undefined): z.ZodType | undefined {
  return asked && z.fromJSONSchema(asked as Parameters<typeof z.fromJSONSchema>[0]);
}
