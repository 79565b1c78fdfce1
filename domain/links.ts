/*
 * Where to look at what, below the address at which callers find the API; without one, links have no host.
 */

export function runLinksOf(
  runId: string,
  publicUrl?: string,
): { self: string; events: string; audit: string } {
  const self = `${baseOf(publicUrl)}/v1/runs/${runId}`;
  return { self, events: `${self}/events`, audit: `${self}/audit` };
}

export function inputLinkOf(runId: string, publicUrl?: string): string {
  return `${baseOf(publicUrl)}/v1/runs/${runId}/input`;
}

export function scheduleLinksOf(id: string, publicUrl?: string): { self: string; firings: string } {
  const self = `${baseOf(publicUrl)}/v1/schedules/${id}`;
  return { self, firings: `${self}/firings` };
}

export function approvalLinksOf(id: string, publicUrl?: string) {
  const self = `${baseOf(publicUrl)}/v1/approvals/${id}`;
  return { self, decisions: `${self}/decisions`, sample: `${self}/sample` };
}

export function deliveryLinksOf(id: string, publicUrl?: string): { self: string } {
  return { self: `${baseOf(publicUrl)}/v1/deliveries/${id}` };
}

/** What every link begins with: no slash at its end. */
export function baseOf(publicUrl = ''): string {
  return publicUrl.replace(/\/$/, '');
}

export function letterLinksOf(id: string, publicUrl: string | undefined): { self: string; audit: string } {
  const self = `${baseOf(publicUrl)}/v1/dead-letters/${id}`;
  return { self, audit: `${self}/audit` };
}
