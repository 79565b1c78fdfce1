/** Where to look at a schedule, below the address at which callers find the API; without one, links have no host. */
export function scheduleLinksOf(id: string, publicUrl = ''): { self: string; firings: string } {
  const self = `${publicUrl.replace(/\/$/, '')}/v1/schedules/${id}`;
  return { self, firings: `${self}/firings` };
}
