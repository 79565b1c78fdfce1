import type { RunRef } from '../runs/run.ts';
import type { StoredObject } from './objects.ts';

/**
 * Removes what has been kept long enough, run by run. The database decides what is due, by the retention that was applied and by its own
 * clock; a caller only asks. All of it throws `DatabaseUnavailable`.
 */
export interface RunSweeps {
  /** Runs of which something may be due, of all tenants. */
  listDue(runsMax: number): Promise<RunRef[]>;
  /**
   * Deletes rejected records that are due, and resolves with the digests of the objects to remove before `finish`. `more`: there are more
   * rejected records than one step deletes; call it again.
   */
  begin(run: RunRef): Promise<{ digests: string[]; more: boolean }>;
  /** Deletes the rows that are due, the run itself with them, and notes when something of it is due next. */
  finish(run: RunRef): Promise<void>;
  /** Those that no record names, of runs that have ended or never were. */
  findOrphans(objects: readonly StoredObject[]): Promise<StoredObject[]>;
  /** The key of the last object that was looked at; `''`: the next step begins with the first. */
  objectPosition(): Promise<string>;
  /** Notes it, and audits what was removed on the way; `null`: nothing. */
  moveObjectPosition(after: string, removed: { objects: number; bytes: number } | null): Promise<void>;
}
