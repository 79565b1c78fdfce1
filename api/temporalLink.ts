import type { ApiOptions } from './ports.ts';

/** Where Temporal’s own pages show it; `null` where nobody has said where these are. */
export function temporalLinkOf(
  { temporalUiUrl, namespace }: ApiOptions,
  kind: 'workflows' | 'schedules',
  id: string,
): string | null {
  if (!temporalUiUrl) return null;
  const ofNamespace = `${temporalUiUrl.replace(/\/$/, '')}/namespaces/${encodeURIComponent(namespace)}`;
  return `${ofNamespace}/${kind}/${encodeURIComponent(id)}`;
}
