/** What waits somewhere, of all tenants together. */
export type BacklogName =
  | 'runs_open'
  | 'runs_suspended'
  | 'approvals_waiting'
  | 'approvals_oldest_seconds'
  | 'outbox_entries'
  | 'outbox_oldest_seconds'
  | 'deliveries_pending';

export interface BacklogValue {
  name: BacklogName;
  /** The state of runs, or the code why they are suspended; '' for what has only one value. */
  label: string;
  value: number;
}

/** Reads all values at one moment. */
export type ReadBacklog = () => Promise<BacklogValue[]>;
