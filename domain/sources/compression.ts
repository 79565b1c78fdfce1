/** In which data may arrive. */
export const compressions = ['gzip', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

const suffixes: readonly [RegExp, Compression][] = [
  [/\.(gz|gzip)$/i, 'gzip'],
  [/\.(zst|zstd)$/i, 'zstd'],
];

/**
 * What a source is compressed by: as its definition declares, else as the suffix of its path or URL says.
 * @example compressionOf({}, { path: 'orders.csv.gz' }) // 'gzip'
 */
export function compressionOf(
  declared: { readonly compression?: Compression | 'none' },
  { path, url }: { readonly path?: string; readonly url?: string },
): Compression | undefined {
  if (declared.compression === 'none') return undefined;
  return declared.compression ?? compressionBySuffix(path ?? URL.parse(url ?? '')?.pathname ?? '');
}

/** What the name of a file says, as of one that a caller sends. */
export function compressionBySuffix(name: string): Compression | undefined {
  return suffixes.find(([suffix]) => suffix.test(name))?.[1];
}
