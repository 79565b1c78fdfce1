import { z } from 'zod';
import type { PulledSourceKind } from '../../../domain/connectors/sourceKind.ts';
import type { FormatManifest } from '../../../domain/pipelines/manifest.ts';

/**
 * Waybill reads a file below one of its configured roots (`WAYBILL_FILE_ROOTS`).
 * Without `path` the caller names it: `{ "source": { "path": … } }`.
 * @param options.cursor `'bytes'`: the file grows, and each run reads the records that were completed since the last. One that became
 * shorter, or begins differently, ends the run as `SourceChanged`. Default: each run reads all of it.
 */
export function file<F extends FormatManifest>(
  format: F,
  options: { path?: string; cursor?: 'bytes' } = {},
): { kind: 'file'; format: F; path?: string; cursor?: 'bytes' } {
  return { kind: 'file', format, ...options };
}

export const fileSource: PulledSourceKind = {
  kind: 'file',
  summary: 'Waybill reads a file below one of its roots',
  delivery: 'pulled',
  format: 'chosen',
  reference: 'path',
  ranged: true,
  cursors: ['bytes'],
  options: z.object({
    path: z.string().min(1).max(4096).optional(),
    cursor: z.literal('bytes', 'can only be “bytes”').optional(),
  }),
  load: async () => (await import('./openFile.ts')).fileReader,
};
