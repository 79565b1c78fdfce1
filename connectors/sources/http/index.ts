import { z } from 'zod';
import type { PulledSourceKind } from '../../../domain/connectors/sourceKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import { DefinitionError } from '../../../domain/pipelines/definitionError.ts';
import type { FormatManifest, SourceManifest } from '../../../domain/pipelines/manifest.ts';
import { CredentialName } from '../../../domain/ports/credentials.ts';
import { type Compression, compressions } from '../../../domain/sources/compression.ts';
import { describeFieldCursor } from '../../../domain/sources/fieldCursor.ts';
import type { Cursor } from '../../../domain/sources/source.ts';

/**
 * Waybill reads a URL by GET. Only public hosts are read, unless `WAYBILL_EGRESS_ALLOW` names the host.
 * Without `url` the caller names it: `{ "source": { "url": … } }`.
 * @param options.auth `'caller'`: the request carries a token of a few minutes that says for which principal the run is, and is
 * good for the origin of the URL alone. Default: no credentials are sent.
 * @param options.credentials the name of what is sent: HTTP Basic or headers, from the folder `WAYBILL_CREDENTIALS` of the workers. Needs
 * `url`, and goes to its origin alone.
 * @param options.cursor each run asks for what came since the run before, by `<parameter>=<watermark>` in the query; see
 * `Cursor`. Default: each run reads all of it.
 * @param options.pages how one page leads to the next: by the header `Link`, by a cursor in the body, or by number. Default: one page.
 * @param options.compression default: as the server says, else as the suffix of the URL, `.gz` or `.zst`
 */
export function http<F extends FormatManifest, Field extends string = never>(
  format: F,
  options: HttpOptions<Field> = {},
): { kind: 'http'; format: F } & HttpOptions<Field> {
  return { kind: 'http', format, ...options };
}

/** See `docs/connectors/http.md`. */
type PagesOptions =
  | { by: 'link'; items?: string; max?: number }
  | { by: 'cursor'; items: string; field: string; parameter?: string; max?: number }
  | { by: 'number'; parameter: string; first?: number; items?: string; max?: number };

interface HttpOptions<Field extends string> {
  url?: string;
  auth?: 'caller';
  credentials?: string;
  cursor?: Cursor<Field>;
  compression?: Compression | 'none';
  pages?: PagesOptions;
}

const parameter = z.string().regex(/^[A-Za-z0-9_.~-]{1,64}$/, 'must be 1 to 64 of A-Z, a-z, 0-9, _ . ~ -');
const name = z.string().min(1).max(200);
const pagesMax = z.int().min(1).max(100_000).default(1_000);

export const httpSource: PulledSourceKind = {
  kind: 'http',
  summary: 'Waybill reads a URL by GET',
  delivery: 'pulled',
  format: 'chosen',
  reference: 'url',
  ranged: true,
  cursors: ['field'],
  options: z.object({
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .max(4096)
      .optional(),
    auth: z.literal('caller', 'can only be “caller”').optional(),
    credentials: CredentialName.optional(),
    compression: z.enum([...compressions, 'none']).optional(),
    pages: z
      .discriminatedUnion('by', [
        z.strictObject({ by: z.literal('link'), items: name.optional(), max: pagesMax }),
        z.strictObject({
          by: z.literal('cursor'),
          items: name,
          field: z.string().min(1).max(200),
          parameter: parameter.optional(),
          max: pagesMax,
        }),
        z.strictObject({
          by: z.literal('number'),
          parameter,
          first: z.int().min(0).default(1),
          items: name.optional(),
          max: pagesMax,
        }),
      ])
      .optional(),
    cursor: z
      .strictObject({
        field: z.string().min(1),
        parameter,
        initial: z.union([z.string(), z.number()]).optional(),
      })
      .optional(),
  }),
  describe(source, input) {
    if (source.credentials !== undefined && source.auth !== undefined)
      wrong('credentials', 'cannot stand beside “auth”');
    if (source.credentials !== undefined && source.url === undefined)
      wrong('credentials', 'needs a url, so that they go to its origin alone');
    checkPages(source);
    if (!source.cursor) return source;
    const cursor = describeFieldCursor(source.cursor as Cursor, input);
    if (source.url && new URL(source.url).searchParams.has(cursor.parameter)) {
      wrong('url', `holds “${cursor.parameter}” already, which the cursor sets`);
    }
    return { ...source, cursor };
  },
  accept({ url, cursor, auth, credentials }, accepted) {
    if (credentials !== undefined && new URL(accepted.url!).origin !== new URL(url!).origin)
      throw invalid(`Name a URL of ${new URL(url!).origin}.`);
    const parameter = typeof cursor === 'object' ? cursor.parameter : undefined;
    if (parameter !== undefined && new URL(accepted.url!).searchParams.has(parameter)) {
      throw invalid(`Leave “${parameter}” out: it is set to where the run before ended.`);
    }
    return {
      ...accepted,
      ...(auth && { auth }),
      ...(credentials !== undefined && { credentials: String(credentials) }),
    };
  },
  load: async () => (await import('./openUrl.ts')).urlReader,
};

function checkPages({ pages, url, format, compression, cursor }: SourceManifest): void {
  if (!pages) return;
  if (pages.items !== undefined && format?.name !== 'json')
    wrong('pages', 'with “items” needs the format json()');
  if (pages.items !== undefined && compression !== undefined && compression !== 'none')
    wrong('compression', 'cannot stand beside “items” of “pages”');
  const own = 'parameter' in pages ? pages.parameter : undefined;
  if (own === undefined) return;
  if (url && new URL(url).searchParams.has(own)) wrong('url', `holds “${own}” already, which “pages” sets`);
  if (typeof cursor === 'object' && cursor.parameter === own)
    wrong('pages', `and “cursor” both set “${own}”`);
}

function wrong(path: string, message: string): never {
  throw new DefinitionError('source', [{ path, message }]);
}

function invalid(message: string): WaybillError {
  return new WaybillError('SourceInvalid', { issues: [{ path: '/source/url', message }] });
}
