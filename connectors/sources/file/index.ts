import { z } from 'zod';
import type { PulledSourceKind } from '../../../domain/connectors/sourceKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { FormatManifest } from '../../../domain/pipelines/manifest.ts';
import { type Compression, compressionOf, compressions } from '../../../domain/sources/compression.ts';

/**
 * Waybill reads a file below one of its configured roots (`WAYBILL_FILE_ROOTS`).
 * Without `path` the caller names it: `{ "source": { "path": … } }`.
 * @param options.cursor `'bytes'`: the file grows, and each run reads the records that were completed since the last. One that became
 * shorter, or begins differently, ends the run as `SourceChanged`. Default: each run reads all of it.
 * @param options.compression default: as the suffix says, `.gz` or `.zst`
 */
export function file<F extends FormatManifest>(
  format: F,
  options: { path?: string; cursor?: 'bytes'; compression?: Compression | 'none' } = {},
): { kind: 'file'; format: F; path?: string; cursor?: 'bytes'; compression?: Compression | 'none' } {
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
    compression: z.enum([...compressions, 'none']).optional(),
  }),
  accept(defined, accepted) {
    if (defined.cursor === 'bytes' && compressionOf(defined, accepted)) {
      const message = 'A compressed file does not grow at its end. Name the file itself.';
      throw new WaybillError('SourceInvalid', { issues: [{ path: '/source/path', message }] });
    }
    return accepted;
  },
  load: async () => (await import('./openFile.ts')).fileReader,
};
