/** Beyond so many, all answers are asked again. */
const tenantsMax = 10_000;

/**
 * Keeps the answer for a tenant for `ageMs`, or for `gap` times as long as the question took; the first question after that gets the
 * answer before, where it says `stale`, and has it asked again.
 */
export function cachedByTenant<T>(
  read: (tenant: string) => Promise<T>,
  { ageMs, gap = 0, stale = false }: { ageMs: number; gap?: number; stale?: boolean },
): (tenant: string) => Promise<T> {
  const answers = new Map<string, { answer: Promise<T>; untilMs: number }>();
  return (tenant) => {
    const known = answers.get(tenant);
    const startedMs = performance.now();
    if (known && startedMs < known.untilMs) return known.answer;
    if (answers.size >= tenantsMax) answers.clear();
    const entry = { answer: read(tenant), untilMs: Number.POSITIVE_INFINITY };
    answers.set(tenant, entry);
    entry.answer.then(
      () => {
        const now = performance.now();
        entry.untilMs = now + Math.max(ageMs, gap * (now - startedMs));
      },
      () => answers.delete(tenant),
    );
    return known && stale ? known.answer : entry.answer;
  };
}
