/** A system that is none of ours. Each tenant has a breaker of its own for it, since what fails for one may be its own path. */
export interface OutsideSystem {
  kind: 'source' | 'lookup' | 'sink' | 'object store';
  tenant: string;
  /** Its host: public, and without credentials. */
  name: string;
}

export interface Breakers {
  /**
   * Does the work, unless the system failed again and again: then it throws `SystemUnavailable` at once, which says which system that
   * is, why, and when to try again. After a while one caller is let through as a probe.
   */
  run<T>(system: OutsideSystem, work: () => Promise<T>): Promise<T>;
  /** Those that are not closed, or were not before: the worst of all tenants. */
  states(): readonly BreakerState[];
}

export interface BreakerState {
  kind: OutsideSystem['kind'];
  name: string;
  state: 'closed' | 'half-open' | 'open';
}
