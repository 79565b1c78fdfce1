import { z } from 'zod';
import type { SentSourceKind } from '../../../domain/connectors/sourceKind.ts';
import type { FormatManifest } from '../../../domain/pipelines/manifest.ts';

/** The caller sends the data itself, as the body of a request. */
export function upload<F extends FormatManifest>(format: F): { kind: 'upload'; format: F } {
  return { kind: 'upload', format };
}

export const uploadSource: SentSourceKind = {
  kind: 'upload',
  summary: 'the caller sends the data as the body of a request',
  delivery: 'sent',
  resumable: true,
  format: 'chosen',
  options: z.object({}),
};
