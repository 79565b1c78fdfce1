import type { Egress } from '../../adapters/egress/egress.ts';
import type { Sources } from '../../domain/ports/sources.ts';
import { extentOf } from './filePieces.ts';
import { openBelow, openFile } from './openFile.ts';
import { openUrl } from './openUrl.ts';

/** Without `fileRoots` no file is read; beyond `egressAllow` (`host:port`) only public hosts are called. */
export function createSources(settings: {
  fileRoots: readonly string[];
  egressAllow: readonly string[];
  lookup?: Egress['lookup'];
}): Sources {
  const egress: Egress = { allow: settings.egressAllow, lookup: settings.lookup };
  return {
    open: (source, options = {}) =>
      source.kind === 'file'
        ? openFile(source.path, settings.fileRoots, options)
        : openUrl(source.url, egress, options),
    async extent(path, known) {
      const { handle, file } = await openBelow(path, settings.fileRoots);
      try {
        return await extentOf(handle, Number(file.size), known);
      } finally {
        await handle.close();
      }
    },
  };
}
