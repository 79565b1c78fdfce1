/** A set of keys that somebody else publishes, as it was when it was fetched last. */
export interface KeptSet<T> {
  /** `undefined` until the first fetch has succeeded. */
  current(): T | undefined;
  /** Since the fetch began that `current` comes from; infinite before there is one. */
  ageMs(): number;
  /** Whether `current` comes from a fetch that began after the moment, one of `moment()`. */
  isLaterThan(moment: number): boolean;
  /** Now, in the order of fetches and of other moments: two things may happen at one time of the clock. */
  moment(): number;
  /** Fetches, unless that was done or tried a short while ago. Those who ask while a fetch is under way share it. Never rejects. */
  refresh(): Promise<void>;
  /** Why the last fetch failed; `undefined` where it did not. */
  failure(): unknown;
}

/**
 * Nothing is fetched before somebody asks, then one at a time, and at most once in `pauseMs`, however many ask for keys that nobody
 * has. What is there serves on while a fetch fails.
 */
export function keepSet<T>(options: {
  fetch(): Promise<T>;
  /** Between the beginnings of two fetches, by how things stand. */
  pauseMs(standing: { failed: boolean; empty: boolean }): number;
  now: () => number;
}): KeptSet<T> {
  const { now } = options;
  let current: T | undefined;
  let asOfMs = Number.NEGATIVE_INFINITY;
  let asOf = 0;
  let moments = 0;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let failure: unknown;
  let fetching: Promise<void> | undefined;

  async function fetchOnce(): Promise<void> {
    const startedAtMs = now();
    const startedAt = ++moments;
    triedAtMs = startedAtMs;
    try {
      current = await options.fetch();
      asOfMs = startedAtMs;
      asOf = startedAt;
      failure = undefined;
    } catch (error) {
      failure = error;
    }
  }

  return {
    current: () => current,
    ageMs: () => now() - asOfMs,
    isLaterThan: (moment) => asOf > moment,
    moment: () => ++moments,
    refresh() {
      const pauseMs = options.pauseMs({ failed: failure !== undefined, empty: current === undefined });
      if (!fetching && now() - triedAtMs >= pauseMs) {
        fetching = fetchOnce().finally(() => {
          fetching = undefined;
        });
      }
      return fetching ?? Promise.resolve();
    },
    failure: () => failure,
  };
}
