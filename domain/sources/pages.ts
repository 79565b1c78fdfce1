/** How one page of a URL leads to the next. */
export type PagesManifest = PagesByLink | PagesByCursor | PagesByNumber;

interface PagesBase {
  /** The member of each body that holds the records; without it the body is the data itself. */
  readonly items?: string;
  /** A run that would read more fails. */
  readonly max: number;
}

/** The header `Link` with `rel="next"` (RFC 8288) names the next page. */
interface PagesByLink extends PagesBase {
  readonly by: 'link';
}

/** A field of the body holds what the next page is asked for by, or its URL; the last page has none. */
interface PagesByCursor extends PagesBase {
  readonly by: 'cursor';
  readonly items: string;
  /** Dotted path. */
  readonly field: string;
  /** Of the query; without it the field holds the URL. */
  readonly parameter?: string;
}

/** The pages have numbers. The first one without records is the end. */
interface PagesByNumber extends PagesBase {
  readonly by: 'number';
  readonly parameter: string;
  readonly first: number;
}

/** One page that is to be read. */
export interface Page {
  readonly url: string;
  /** Ordinal, from 1. */
  readonly number: number;
  /** Another origin than that of the source has chosen it, so that it gets no credentials. */
  readonly foreign: boolean;
}

/** `undefined` where only the server says which page follows. */
export function numberedPage(source: string, pages: PagesManifest, number: number): string | undefined {
  if (pages.by !== 'number') return undefined;
  return withParameter(source, pages.parameter, String(pages.first + number - 1));
}

/**
 * What the headers `link` of a page name as the next one, as it is written there.
 * @example linkToNext('</rows?page=2>; rel="next", </rows>; rel="first"') // '/rows?page=2'
 */
export function linkToNext(link: string): string | undefined {
  for (const [, target, parameters = ''] of link.matchAll(linkValue)) {
    const rel = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))/i.exec(parameters);
    if ((rel?.[1] ?? rel?.[2] ?? '').toLowerCase().split(/\s+/).includes('next')) return target;
  }
  return undefined;
}

const linkValue = /<([^<>]*)>((?:\s*;\s*[\w!#$&+.^`|~*-]+(?:\s*=\s*(?:"[^"]*"|[^\s;,"]*))?)*)/g;

/**
 * The URL after a page by cursor, as its body says; `undefined` at the end. Throws a `TypeError` for a value that is neither text nor a
 * number.
 */
export function cursorToNext(
  body: Readonly<Record<string, unknown>>,
  { field, parameter }: PagesByCursor,
  source: string,
): string | undefined {
  let value: unknown = body;
  for (const name of field.split('.'))
    value =
      typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
  if (value === undefined || value === null || value === '' || value === false) return undefined;
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'bigint')
    throw new TypeError(`The cursor “${field}” is neither text nor a number.`);
  return parameter === undefined ? String(value) : withParameter(source, parameter, String(value));
}

function withParameter(text: string, name: string, value: string): string {
  const url = new URL(text);
  url.searchParams.set(name, value);
  return url.href;
}
