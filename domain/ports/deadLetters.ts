import type { Rejection } from '../runs/rejection.ts';

/** The rejected records of a tenant, for the API. All of it throws `DatabaseUnavailable`. */
export interface DeadLetters {
  /** How many records of a run were rejected with which code; the most frequent first. */
  countByCode(tenant: string, runId: string): Promise<Record<string, number>>;
}

export interface DeadLetter extends Rejection {
  stage: 'validate' | 'transform' | 'store';
  /** The URL of the object that the record is in, where its source holds many. */
  source?: string;
  /** The record’s bytes, where they are few. The ledger keeps them of the first records of a run only. */
  raw?: Uint8Array;
  /** The object that holds them. */
  object: { digest: string; offset: number };
}
