import { z } from 'zod';
import type { SentSourceKind } from '../../../domain/connectors/sourceKind.ts';

/** The caller sends the records inside the envelope: `{ "records": [ … ] }`. For few records. */
export function inline(): { kind: 'inline' } {
  return { kind: 'inline' };
}

export const inlineSource: SentSourceKind = {
  kind: 'inline',
  summary: 'the caller sends { "records": [ … ] } in the envelope',
  delivery: 'sent',
  format: { name: 'ndjson' },
  options: z.object({}),
};
