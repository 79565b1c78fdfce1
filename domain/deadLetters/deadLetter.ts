import type { AuditEvent } from '../audit.ts';
import type { Rejection } from '../runs/rejection.ts';
import type { Run } from '../runs/run.ts';
import type { LetterStage, LetterState } from './letterStates.ts';

export type Actor = NonNullable<AuditEvent['actor']>;

/** A rejected record as it is kept, without its value. */
export interface DeadLetter extends Rejection {
  /** Stable: the same through all attempts. */
  id: string;
  tenant: string;
  /** The run that rejected it first. */
  runId: string;
  pipeline: string;
  /** Of the definition that rejected it first. */
  version: number;
  state: LetterState;
  /** How often its record was tried. */
  attempt: number;
  revision: number;
  stage: LetterStage;
  /** The URL of the object that it was read of, where its source holds many. */
  source?: string;
  createdAt: string;
  changedAt: string | null;
  edited: { by: Actor | null; at: string; form: EditForm } | null;
  discarded: { by: Actor | null; reason: string } | null;
  /** The run that has it, or had it last. */
  redriveRun: string | null;
  /** All that had it, the last first; up to 50. */
  redriveRuns: readonly string[];
}

/** A letter and its run, by which the policy decides who may see it. */
export interface ShownLetter {
  letter: DeadLetter;
  run: Pick<Run, 'id' | 'tenant' | 'requestedBy' | 'definition' | 'pipeline'>;
}

export type EditForm = 'record' | 'raw';

/** The record of a letter: the bytes that were rejected, and what they were edited to. */
export interface LetterValue {
  id: string;
  /** `undefined`: too large to be loaded. */
  raw: Uint8Array | undefined;
  /** Names of the columns, of CSV only. */
  header?: readonly string[] | undefined;
  /** Of the definition to which the value belongs: of the edit, else of the bytes. */
  version: number;
  edit?: { form: EditForm; bytes: Uint8Array } | undefined;
}
