import type { ApiOptions } from './ports.ts';

/** Where Temporal’s Web UI shows it; `null` where its URL is not configured. */
export function temporalLinkOf(
  { temporalUiUrl, namespace }: ApiOptions,
  kind: 'workflows' | 'schedules',
  id: string,
): string | null {
  if (!temporalUiUrl) return null;
  const ofNamespace = `${temporalUiUrl.replace(/\/$/, '')}/namespaces/${encodeURIComponent(namespace)}`;
  return `${ofNamespace}/${kind}/${encodeURIComponent(id)}`;
}
