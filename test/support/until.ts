import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

/** Between two looks, at most; the first follow sooner. */
const gapMaxMs = 50;

/** Looks until there is something, and gives that. Three minutes are for slow machines: what is promised within less says so. */
export async function until<T>(
  what: string,
  look: () => T | Promise<T>,
  withinMs = 180_000,
): Promise<Exclude<T, undefined | null | false>> {
  const by = performance.now() + withinMs;
  for (let gapMs = 2; ; gapMs = Math.min(2 * gapMs, gapMaxMs)) {
    const found = await look();
    if (found) return found as Exclude<T, undefined | null | false>;
    assert.ok(performance.now() < by, `not within ${withinMs} ms: ${what}`);
    await pause(gapMs);
  }
}
