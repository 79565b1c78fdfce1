/** Of known names the one that a mistyped one is most likely meant to be. */
export function nearestOf(name: string, known: readonly string[]): string {
  return known.reduce(
    (best, one) => (distance(name, one) < distance(name, best) ? one : best),
    known[0] ?? '',
  );
}

/** The same, where it is so near that it was probably meant: but for two letters, or a third of them. */
export function similarTo(name: string, known: readonly string[]): string | undefined {
  const nearest = nearestOf(name, known);
  const off = distance(name.slice(0, 2 * nearest.length + 1), nearest);
  return off < nearest.length && off <= Math.max(2, nearest.length / 3) ? nearest : undefined;
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, substitution));
    }
    row = next;
  }
  return row[b.length]!;
}
