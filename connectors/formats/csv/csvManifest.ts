import { z } from 'zod';
import type { FormatManifest } from '../../../domain/pipelines/manifest.ts';

/** How a file of CSV is written, and which column is which field. */
export interface CsvOptions {
  /** One ASCII character, default `,`. */
  delimiter?: string;
  /** One ASCII character that encloses a field, doubled inside it; `false`: no character does. Default `"`. */
  quote?: string | false;
  /** What an empty field becomes: `''` or `null`. Default `'string'`. */
  emptyAs?: 'string' | 'null';
  /** Default `utf-8`. It is never guessed. */
  encoding?: Encoding;
  /** Whether the first record names the columns. Default `true`. */
  header?: boolean;
  /**
   * With a header: which column is which field, where the names differ; `null` leaves a column out. Without one: the field
   * of each column, in their order. Default: each column is the field of its name.
   */
  columns?: Readonly<Record<string, string | null>> | readonly (string | null)[];
}

export type Encoding = (typeof encodings)[number];

const encodings = ['utf-8', 'utf-16le', 'utf-16be', 'latin1', 'windows-1252'] as const;

export interface CsvManifest extends FormatManifest {
  readonly name: 'csv';
  readonly delimiter: string;
  readonly emptyAs: 'string' | 'null';
  readonly quote?: string | false;
  readonly encoding?: Encoding;
  readonly header?: boolean;
  readonly columns?: CsvOptions['columns'];
  /** Of the input, by which a header is checked. */
  readonly fields?: {
    readonly known: readonly string[];
    readonly required: readonly string[];
    /** Columns of other names are read too; the pipeline keeps or drops them. */
    readonly open?: true;
  };
}

/** A manifest in which every option has its value. */
export type Csv = CsvManifest & Required<Pick<CsvManifest, 'quote' | 'encoding' | 'header'>>;

export function completed(manifest: FormatManifest): Csv {
  return { quote: '"', encoding: 'utf-8', header: true, ...(manifest as CsvManifest) };
}

const character = z.string().regex(/^[\t\x20-\x7e]$/, 'must be one ASCII character');
const field = z.string().min(1).nullable();

export const csvOptions = z.object({
  delimiter: character.regex(/^[^"]$/, 'cannot be a quote'),
  emptyAs: z.enum(['string', 'null']),
  quote: z.union([character, z.literal(false)], 'must be one ASCII character or false').optional(),
  encoding: z.enum(encodings).optional(),
  header: z.boolean().optional(),
  columns: z.union([z.array(field).min(1).max(1_000), z.record(z.string(), field)]).optional(),
});
