import type { AuditEvent } from '../audit.ts';
import type { Actor, DeadLetter, EditForm, ShownLetter } from '../deadLetters/deadLetter.ts';
import type { LetterFilter, LetterStage, LetterState } from '../deadLetters/letterStates.ts';
import type { Rejection } from '../runs/rejection.ts';
import type { Run } from '../runs/run.ts';

/** The rejected records of a tenant, for the API. All of it throws `DatabaseUnavailable`. */
export interface DeadLetters {
  /** How many records of a run were rejected with which code; the most frequent first. */
  countByCode(tenant: string, runId: string): Promise<Record<string, number>>;
  find(tenant: string, id: string): Promise<DeadLetter | undefined>;
  /**
   * Newest first. `cursor` is the `nextCursor` of the page before. A page looks at a bounded number of letters, so that it may hold
   * fewer than asked for and still have a next one.
   */
  list(
    tenant: string,
    query: LetterFilter & { limit: number; cursor?: string },
  ): Promise<{ items: ShownLetter[]; nextCursor: string | null }>;
  /** How many letters there are of each kind, the most frequent first. `from` and `to` do not count here. */
  group(
    tenant: string,
    filter: LetterFilter,
    by: readonly GroupField[],
    pipelines: readonly string[],
  ): Promise<LetterGroup[]>;
  /** Letters in the order in which they were rejected, with their values; of `ids` those that exist. */
  pick(
    tenant: string,
    choice: LetterChoice,
    page: { after?: string | undefined; limit: number },
  ): Promise<StoredLetter[]>;
  /** The runs that rejected them. */
  findOrigins(tenant: string, runIds: readonly string[]): Promise<LetterOrigin[]>;
  /** Keeps edits of letters that are as they were read, all of one run. Resolves with the ids that were kept. */
  repair(tenant: string, edits: readonly LetterEdit[], by: Actor, audit: AuditEvent): Promise<string[]>;
  /** Gives letters up for good, those that still are as they were read. Resolves with their ids. */
  discard(
    tenant: string,
    letters: readonly Pick<StoredLetter, 'id' | 'revision'>[],
    by: Actor,
    reason: string,
    audit: AuditEvent,
  ): Promise<string[]>;
}

export const groupFields = ['code', 'path', 'pipeline', 'run', 'state'] as const;
export type GroupField = (typeof groupFields)[number];

interface LetterGroup {
  by: Partial<Record<GroupField, string>>;
  letters: number;
  /** The id of one of them. */
  example: string | null;
}

/** Some letters by name, or all of which a filter holds; of a filter, those in one of `states`. */
export type LetterChoice =
  | { ids: readonly string[] }
  | { filter: LetterFilter; states: readonly LetterState[] };

/** A letter with what is needed to read its record. */
export interface StoredLetter {
  id: string;
  /** Where a page of them ends. */
  cursor: string;
  revision: number;
  state: LetterState;
  runId: string;
  pipeline: string;
  code: string;
  path: string;
  redriveRun: string | null;
  byteLength: number;
  /** The bytes, where the database has them; else the object that holds them. */
  raw: Uint8Array | null;
  object: { digest: string; offset: number } | null;
  header: readonly string[] | null;
  /** Of the definition to which the record belongs. */
  version: number;
  edit: { form: EditForm; bytes: Uint8Array } | null;
}

export interface LetterOrigin extends Pick<Run, 'id' | 'tenant' | 'requestedBy' | 'definition' | 'pipeline'> {
  parameters: unknown;
}

export interface LetterEdit {
  id: string;
  revision: number;
  form: EditForm;
  bytes: Uint8Array;
  /** Of the definition to which it belongs. */
  version: number;
  /** Digests of the record before and after, for the audit. */
  before: string;
  after: string;
}

export interface NewLetter extends Rejection {
  stage: LetterStage;
  /** The URL of the object that the record is in, where its source holds many. */
  source?: string;
  /** The record’s bytes, where they are few. The ledger keeps them of the first records of a run only. */
  raw?: Uint8Array;
  /** The object that holds them. */
  object: { digest: string; offset: number };
}
