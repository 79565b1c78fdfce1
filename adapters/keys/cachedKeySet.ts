/** The last fetched copy of a published key set. */
export interface KeptSet<T> {
  /** `undefined` until the first fetch has succeeded. */
  current(): T | undefined;
  /** Age of `current`, from the beginning of its fetch; infinite before the first fetch. */
  ageMs(): number;
  /** Whether `current` comes from a fetch that began after `moment`, a result of `moment()`. */
  isLaterThan(moment: number): boolean;
  /** A logical time in the order of fetches: the clock may show the same time for two events. */
  moment(): number;
  /** Fetches, unless the last fetch began less than `pauseMs` ago. Calls during a fetch share it. Never rejects. */
  refresh(): Promise<void>;
  /** Why the last fetch failed; `undefined` where it did not. */
  failure(): unknown;
}

/**
 * Fetches on demand only, one fetch at a time, at most once in `pauseMs`, however many unknown keys are asked for. While
 * fetches fail, the last copy stays in use.
 */
export function keepSet<T>(options: {
  fetch(): Promise<T>;
  /** Time between the beginnings of two fetches. */
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
