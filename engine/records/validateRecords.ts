import { hash } from 'node:crypto';
import type { ReadRecord } from '../../domain/connectors/formatKind.ts';
import { fitValues } from '../../domain/pipelines/fitValues.ts';
import { parseFirst } from '../../domain/pipelines/parseFirst.ts';
import { takeUnknownFields } from '../../domain/pipelines/unknownFields.ts';
import type { StageResult } from '../../domain/ports/compute.ts';
import {
  type RecordPlace,
  type RecordRejection,
  type Rejection,
  type RejectionCode,
  rejections,
} from '../../domain/runs/rejection.ts';
import type { PreparedDefinition } from './definition.ts';
import { describeIssue } from './describeIssue.ts';

/** Of a larger record not all issues are looked for: it may have a million. */
const largeBytes = 16 * 1024;

/** A record that fits. */
export interface ValidRecord {
  /** What the schema made of it. */
  value: object;
  /** The fields that the schema does not name, of a pipeline that keeps or drops them. */
  extra?: Record<string, unknown> | undefined;
}

/** Checks the records of one batch against the input schema. */
export class RecordValidator {
  readonly #definition: PreparedDefinition;
  readonly #rejected: Rejection[] = [];
  #unknownFields = 0;

  constructor(definition: PreparedDefinition) {
    this.#definition = definition;
  }

  /** `undefined` where it is rejected. */
  check(place: RecordPlace, record: ReadRecord): ValidRecord | undefined {
    const read = typeof record === 'object' && 'value' in record ? record : undefined;
    if (!read) return this.#reject(place, rejectionOf(record as Exclude<ReadRecord, { value: object }>));
    const { exactFields, knownFields, pipeline } = this.#definition;
    const { value, inexact = false } = read;
    const unknown = knownFields && takeUnknownFields(value, knownFields);
    const unfit = (inexact || exactFields) && fitValues(value, exactFields, inexact);
    const parsed = unfit ? undefined : parseFirst(pipeline.input, value, place.byteLength > largeBytes);
    if (parsed?.success) {
      if (unknown) this.#unknownFields += unknown.count;
      return { value: parsed.data as object, extra: unknown?.extra };
    }
    return this.#reject(place, unfit || describeIssue(parsed!.issue, value));
  }

  #reject(place: RecordPlace, why: RecordRejection): undefined {
    this.#rejected.push({ ...place, ...why });
  }

  finish(records: number): StageResult {
    const counts = { read: records, rejected: this.#rejected.length };
    return {
      digest: hash('sha256', JSON.stringify([counts, null, this.#rejected])),
      sizeBytes: 0,
      rejections: this.#rejected,
      counts,
      ...(this.#unknownFields > 0 && { unknownFields: this.#unknownFields }),
    };
  }
}

function rejectionOf(reason: RejectionCode | RecordRejection): RecordRejection {
  return typeof reason === 'string' ? { code: reason, path: '', message: rejections[reason] } : reason;
}
