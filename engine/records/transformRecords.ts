import { hash } from 'node:crypto';
import type { RowWriter, Slot } from '../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import {
  applyTransform,
  type OutputRow,
  type TransformOutcome,
} from '../../domain/pipelines/applyTransform.ts';
import { findValue, type Lookups } from '../../domain/pipelines/lookups.ts';
import { publishesAtEnd } from '../../domain/pipelines/manifest.ts';
import { extraColumn } from '../../domain/pipelines/unknownFields.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import { encodedForm } from '../../domain/ports/sinkRows.ts';
import type { RecordPlace, Rejection } from '../../domain/runs/rejection.ts';
import { codeFailure } from './codeFailure.ts';
import { CursorMaximum } from './cursorMaximum.ts';
import type { PreparedDefinition } from './definition.ts';
import { beginRows } from './outputEncoder.ts';
import { QualityMeter } from './qualityMeter.ts';
import type { ValidRecord } from './validateRecords.ts';

export interface TransformOptions {
  /** As the run was accepted with. */
  parameters: unknown;
  /** What the batch was read of, where rows name it. */
  source?: string | undefined;
  /** What was looked up for the batch, where the pipeline enriches. */
  lookups?: Lookups | undefined;
  /** When the run began, where that bounds its watermark. */
  beganMs?: number | undefined;
}

type Row = Record<string, unknown>;

export interface Observer {
  onRows(position: number, rows: readonly Record<string, unknown>[]): void;
  onFiltered(position: number, code: string): void;
}

/**
 * Calls the pipeline’s transform on the valid records of one batch and encodes the rows for the sink. A record with a row that
 * the sink cannot keep is rejected as a whole.
 *
 * Throws `TransformFailed` where the pipeline’s code throws, `ParametersInvalid` where the parameters do not fit.
 */
export class RecordTransformer {
  readonly #definition: PreparedDefinition;
  readonly #parameters: unknown;
  readonly #lookups: Lookups | undefined;
  readonly #source: string | undefined;
  readonly #keepsExtra: boolean;
  readonly #writer: RowWriter;
  readonly #observer: Observer | undefined;
  readonly #highest: CursorMaximum | undefined;
  readonly #meter: QualityMeter | undefined;
  readonly #rejected: Rejection[] = [];
  readonly #counts = { passed: 0, filtered: 0, rejected: 0, emitted: 0 };

  constructor(
    definition: PreparedDefinition,
    { parameters, beganMs, source, lookups }: TransformOptions,
    expectedBytes: number,
    observer?: Observer,
  ) {
    this.#definition = definition;
    this.#parameters = parseParameters(definition, parameters);
    this.#lookups = lookups;
    this.#source = definition.pipeline.manifest.rowSource && source;
    this.#keepsExtra = definition.pipeline.manifest.unknownFields === 'keep';
    this.#highest = definition.cursor && new CursorMaximum(definition.cursor, beganMs);
    this.#writer = beginRows(definition.sink, expectedBytes);
    const { manifest } = definition.pipeline;
    this.#meter = manifest.quality && new QualityMeter(manifest);
    this.#observer = observer;
  }

  add(place: RecordPlace, { value: record, extra }: ValidRecord): void {
    const counts = this.#counts;
    if (this.#definition.pipeline.enrich && !this.#lookups) {
      // A trial without calls: more than that the record is valid is not known.
      counts.passed++;
      return;
    }
    const outcome = this.#transform(place, record);
    if (outcome.kind === 'filtered') {
      this.#highest?.see(record as Record<string, unknown>);
      counts.filtered++;
      this.#observer?.onFiltered(place.position, outcome.code);
      return;
    }
    const rows = outcome.kind === 'rows' ? this.#completed(outcome.rows as Row[], extra) : [];
    const rejection = outcome.kind === 'rejected' ? outcome : this.#writer.add(place.position, rows);
    if (rejection) {
      counts.rejected++;
      const { code, path, message } = rejection;
      this.#rejected.push({ ...place, code, path, message: message.slice(0, messageMax) });
    } else {
      this.#highest?.see(record as Record<string, unknown>);
      counts.passed++;
      counts.emitted += rows.length;
      this.#meter?.add(rows);
      this.#observer?.onRows(place.position, rows);
    }
  }

  finish(): StageResult & { rows: Uint8Array } {
    // One transaction publishes the rows of a run at its end, and approvers see the first of them.
    const slotted = !publishesAtEnd(this.#definition.pipeline.manifest);
    const { bytes, slots } = this.#writer.finish({ slotted });
    const { value: highest, ahead = 0 } = this.#highest ?? {};
    return {
      ...(slots ? digestSlots(bytes, slots) : { digest: hash('sha256', bytes) }),
      sizeBytes: bytes.byteLength,
      rejections: this.#rejected,
      counts: this.#counts,
      form: encodedForm,
      ...(highest !== undefined && { highest }),
      ...(ahead > 0 && { ahead }),
      ...(this.#meter && { quality: this.#meter.finish() }),
      rows: bytes,
    };
  }

  /** With the columns that are not of the output: `_source` and `_extra`. */
  #completed(rows: readonly Row[], extra: Row | undefined): readonly Row[] {
    const source = this.#source;
    const added: Row = {
      ...(source !== undefined && { _source: source }),
      ...(extra && this.#keepsExtra && { [extraColumn]: extra }),
    };
    if (Object.keys(added).length === 0) return rows;
    return this.#definition.pipeline.outputs
      ? (rows as unknown as OutputRow[]).map(({ output, row }) => ({ output, row: { ...row, ...added } }))
      : rows.map((row) => ({ ...row, ...added }));
  }

  #transform(place: RecordPlace, record: unknown): TransformOutcome {
    try {
      const { pipeline } = this.#definition;
      const found = this.#lookups && findValue(pipeline, this.#lookups, record);
      if (found && 'kind' in found) return found;
      return applyTransform(pipeline, record, this.#parameters, found?.value);
    } catch (cause) {
      const { locates } = this.#definition.format.kind;
      throw codeFailure('The transform', { place, locates }, cause, record);
    }
  }
}

const messageMax = 500;

function digestSlots(bytes: Uint8Array, slots: readonly Slot[]): Pick<StageResult, 'digest' | 'slots'> {
  let at = 0;
  const digested = slots.map((slot) => {
    const from = at;
    at += slot.sizeBytes;
    return { ...slot, digest: hash('sha256', bytes.subarray(from, at)) };
  });
  return { digest: slotsDigest(digested), slots: digested };
}

/** One digest for all: a reader of some slots compares them without the others. */
export function slotsDigest(slots: NonNullable<StageResult['slots']>): string {
  return hash('sha256', JSON.stringify(slots.map((s) => [s.sizeBytes, s.emitted, s.digest])));
}

export function parseParameters({ pipeline }: PreparedDefinition, sent: unknown): unknown {
  const parsed = pipeline.parameters.safeParse(sent ?? {});
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((i) => ({ path: i.path.join('.'), message: i.message }));
  throw new WaybillError('ParametersInvalid', { issues });
}
