import type { FieldCursor } from '../../domain/pipelines/manifest.ts';
import { comparable, isLater, laterOf } from '../../domain/sources/watermark.ts';

/**
 * The highest value of a cursor’s field among the records of a batch that were not rejected. Of instants and days, what lies after
 * the run began is left out: one record of the year 9999 would otherwise end all later runs without a record.
 */
export class CursorMaximum {
  value: string | undefined;
  /** How many records lie so far ahead that no clock explains it. */
  ahead = 0;
  readonly #cursor: FieldCursor;
  readonly #began: string | undefined;
  readonly #soon: string | undefined;
  /** What was seen last, for records of one moment often come together. */
  #last: unknown;

  /** @param beganMs when the run began; without it no value is left out */
  constructor(cursor: FieldCursor, beganMs: number | undefined) {
    this.#cursor = cursor;
    if (beganMs === undefined || cursor.order === 'integer') return;
    const at = (ms: number) => {
      const instant = new Date(ms).toISOString();
      return comparable(cursor.order, cursor.order === 'date' ? instant.slice(0, 10) : instant);
    };
    this.#began = at(beganMs);
    this.#soon = at(beganMs + toleranceMs);
  }

  see(record: Record<string, unknown>): void {
    const { field, order } = this.#cursor;
    const seen = record[field];
    if (seen === this.#last) return;
    const value = comparable(order, seen);
    if (value !== undefined && this.#began !== undefined && isLater(order, value, this.#began)) {
      if (isLater(order, value, this.#soon!)) this.ahead++;
      return;
    }
    this.#last = seen;
    this.value = laterOf(order, this.value, value);
  }
}

/** Clocks differ, and a source goes on while a run reads it. */
const toleranceMs = 5 * 60 * 1000;
