import { writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/**
 * How much less of the processors Temporal and the workers ask for (`nice`) than the API and PostgreSQL, so that
 * accepting a run stays fast while others are worked on. It matters only while there is more to do than processors.
 */
export const backgroundNiceness = 10;

export function renice(pid: number | undefined, niceness: number): void {
  if (pid === undefined || niceness === 0) return;
  try {
    setPriority(pid, niceness);
    // Linux shares processors out between sessions first (sched(7), “autogroup”), and each of our processes has its
    // own: there only the niceness of the session counts.
    writeFileSync(`/proc/${pid}/autogroup`, String(niceness));
  } catch {
    // It ended at once, or the system does not know or allow it; none is a reason not to go on.
  }
}
