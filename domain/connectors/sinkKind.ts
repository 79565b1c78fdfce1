import type { z } from 'zod';
import type { Column, SinkManifest } from '../pipelines/manifest.ts';

/** One kind of sink: a folder of `connectors/sinks/`. */
export interface SinkKind {
  readonly kind: string;
  /** One line, for lists. */
  readonly summary: string;
  /** What an author sets, next to `kind`. */
  readonly options: z.ZodObject;
  /** Checks the options together with the columns of the output. Throws `DefinitionError`. */
  describe(options: Record<string, unknown>, columns: readonly Column[]): SinkManifest;
}
