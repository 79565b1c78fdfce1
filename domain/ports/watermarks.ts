import type { RunRef } from '../runs/run.ts';
import type { RunFacts } from '../runs/runFacts.ts';
import type { Mark, Window } from '../sources/watermark.ts';

/** How far pipelines have read their sources, and what each run reads. All of it throws `DatabaseUnavailable`. */
export interface Watermarks {
  /** How far earlier runs of the pipeline have read what `key` names. */
  find(run: RunFacts, key: string): Promise<Mark | undefined>;
  /** What the run reads, once that is fixed. */
  findWindow(run: RunRef): Promise<Window | undefined>;
  /** Fixes what the run reads; resolves with the window that stands, which may be that of another attempt. */
  openWindow(run: RunRef, key: string, window: Window): Promise<Window>;
}
