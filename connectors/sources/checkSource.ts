import { checkUrl } from '../../adapters/egress/egress.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { PulledSource } from '../../domain/ports/sources.ts';
import { openFile } from './openFile.ts';

/**
 * Refuses at the door what no worker would read. Throws `SourceRefused` only: whether the source answers, and
 * where its name leads at that moment, is found out by whoever reads it.
 */
export function createSourceCheck(settings: {
  fileRoots: readonly string[];
  egressAllow: readonly string[];
}) {
  return async (source: PulledSource | { kind: 'upload' | 'inline' }): Promise<void> => {
    if (source.kind === 'http')
      checkUrl(new URL(source.url), { allow: settings.egressAllow }, source.auth === 'caller');
    if (source.kind === 'file') await tryFile(source.path, settings.fileRoots);
  };
}

async function tryFile(path: string, roots: readonly string[]): Promise<void> {
  try {
    const { stream } = await openFile(path, roots, {});
    // Only a stream that was begun closes its file.
    for await (const _ of stream) break;
  } catch (error) {
    if (error instanceof WaybillError && error.code === 'SourceRefused') throw error;
  }
}
