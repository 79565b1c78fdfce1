import type { z } from 'zod';
import type { FieldCursor } from '../../domain/pipelines/manifest.ts';
import { comparable, laterOf } from '../../domain/sources/watermark.ts';

/**
 * The highest value of a cursor’s field in a batch. A record that was refused for another field counts too: its bytes are kept
 * as a dead letter, and reading it again with every run would make another of it each time.
 */
export class CursorMaximum {
  value: string | undefined;
  readonly #cursor: FieldCursor;
  readonly #field: z.ZodType;
  /** What was seen last, for records of one moment often come together. */
  #last: unknown;

  constructor(cursor: FieldCursor, input: z.ZodObject) {
    this.#cursor = cursor;
    this.#field = input.shape[cursor.field] as z.ZodType;
  }

  see(record: Record<string, unknown>): void {
    const value = record[this.#cursor.field];
    if (value === this.#last) return;
    this.#last = value;
    this.value = laterOf(this.#cursor.order, this.value, comparable(this.#cursor.order, value));
  }

  seeRefused(record: object): void {
    const { field } = this.#cursor;
    if (!Object.hasOwn(record, field)) return;
    const parsed = this.#field.safeParse((record as Record<string, unknown>)[field]);
    if (parsed.success) this.see({ [field]: parsed.data });
  }
}
