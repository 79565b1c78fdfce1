/** Where to look at a run, below the address at which callers find the API; without one, links have no host. */
export function runLinksOf(runId: string, publicUrl = ''): { self: string; events: string; audit: string } {
  const self = `${publicUrl.replace(/\/$/, '')}/v1/runs/${runId}`;
  return { self, events: `${self}/events`, audit: `${self}/audit` };
}
