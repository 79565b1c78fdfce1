const hidden = '***';

/**
 * A source as audit events and views show it. A URL may hold a secret, so this hides its user information, the values of its query and
 * its fragment, and keeps scheme, host, path and the names in the query. Reading uses the stored source, never this.
 * @example redactSource({ kind: 'http', url: 'https://u:p@a.example/f?key=s' }).url // 'https://***@a.example/f?key=***'
 */
export function redactSource<Source extends object>(source: Source): Source {
  return 'url' in source && typeof source.url === 'string'
    ? { ...source, url: redactUrl(source.url) }
    : source;
}

function redactUrl(text: string): string {
  const url = URL.parse(text);
  if (!url) return hidden;
  const { protocol, username, password, host, pathname, search, hash } = url;
  const user = username || password ? `${hidden}@` : '';
  const query = search && `?${search.slice(1).split('&').map(redactPair).join('&')}`;
  return `${protocol}//${user}${host}${pathname}${query}${hash && `#${hidden}`}`;
}

/** A pair without `=` has no name, so all of it may be the secret. */
function redactPair(pair: string): string {
  const end = pair.indexOf('=');
  return end < 0 ? hidden : `${pair.slice(0, end)}=${hidden}`;
}
