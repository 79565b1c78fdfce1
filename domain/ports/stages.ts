import type { AuditEvent } from '../audit.ts';
import type { Batch, StageOutput } from '../runs/batch.ts';
import type { Counts, RunRef } from '../runs/run.ts';

/** What the steps have made of the batches of a run. All of it throws `DatabaseUnavailable`. */
export interface Stages {
  /** A batch and all that has been made of it so far. Throws `StepResultInvalid`, and `RunEnded` as `Batches.arrivals` does. */
  findWork(run: RunRef, execution: string, seq: number): Promise<Work>;
  /**
   * The first output of a stage stands; resolves with the one that stands. `isFollowed`: the activity goes on to a step that commits
   * durably, and with it all that was committed before; until then this is not waited for.
   */
  record(run: RunRef, output: StageOutput, audit: AuditEvent, isFollowed?: boolean): Promise<StageOutput>;
  /** All that was made of a run, batch by batch. Throws `UploadIncomplete` before the last byte, and `StepResultInvalid`, `RunEnded`. */
  listStaged(run: RunRef): Promise<StagedBatch[]>;
  /** Batches with rejected records that are neither stored nor dead letters yet, and the stages that rejected them. */
  listUnkept(run: RunRef): Promise<{ batch: Batch; stages: StageOutput[] }[]>;
  /** Digests of the objects that only the stages and the approval sample of the run need. */
  listObjects(run: RunRef): Promise<string[]>;
}

export interface Work {
  batch: Batch;
  /** Whether the run counts as suspended. */
  suspended: boolean;
  validated?: StageOutput;
  enriched?: StageOutput;
  transformed?: StageOutput;
  /** The entry of the ledger, once the batch is stored. */
  stored?: Counts;
}

export type StagedBatch = Required<Pick<Work, 'batch' | 'validated' | 'transformed'>> &
  Pick<Work, 'enriched'>;
