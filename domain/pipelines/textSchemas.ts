import { z } from 'zod';
import { isDoubleExact } from '../json/decimalText.ts';
import type { RejectionCode } from '../runs/rejection.ts';
import { decimalOfText } from './decimal.ts';

/**
 * Schemas for formats in which every value is text, such as CSV. Each takes one spelling of a value and rejects all others:
 * `z.coerce.number()` reads `0x10`, `1E5` and blanks as numbers. An empty field is none of them; with
 * `csv({ emptyAs: 'null' })` it is `null`, for `.nullable()`.
 */
export const text = Object.freeze({
  /** A whole number within ±(2⁵³ − 1): a JavaScript number, a column `bigint`. */
  integer: () =>
    z
      .string()
      .regex(wholeText, notWhole)
      .transform((value, context) => {
        const whole = Number(value);
        if (Number.isSafeInteger(whole)) return whole;
        return reject(context, value, 'NumberInexact', 'Beyond 2^53. Use text.int64() or text.decimal()');
      })
      .pipe(z.int()),
  /** A whole number of 64 bits: a bigint, a column `bigint`. */
  int64: () =>
    z
      .string()
      .regex(wholeText, notWhole)
      .transform((value) => BigInt(value))
      .pipe(z.int64()),
  /** An exact decimal, carried as text: a column `numeric`. See `decimal`. */
  decimal: (precision: number, scale = 0) => decimalOfText(precision, scale),
  /**
   * A number: a column `double precision`. It is rejected where the double would not print back as an equal number.
   * @param options.exponent whether `1.5e-7` is a number too, default false
   */
  number: ({ exponent = false }: { exponent?: boolean } = {}) =>
    z
      .string()
      .regex(exponent ? exponentText : pointText, 'Not a number')
      .transform((value, context) => {
        if (isDoubleExact(value)) return Number(value);
        return reject(context, value, 'NumberInexact', 'More digits than a double holds. Use text.decimal()');
      })
      .pipe(z.number()),
  /** One of the given words, compared as they are: a column `boolean`. Default: `true` and `false`. */
  boolean: (words: { true?: readonly string[]; false?: readonly string[] } = {}) => {
    const { true: yes = ['true'], false: no = ['false'] } = words;
    if (yes.some((word) => no.includes(word)))
      throw new RangeError('text.boolean(): a word cannot mean both true and false.');
    return z
      .string()
      .refine(
        (value) => yes.includes(value) || no.includes(value),
        `Not one of: ${[...yes, ...no].join(', ')}`,
      )
      .transform((value) => yes.includes(value))
      .pipe(z.boolean());
  },
  /** A date-time with its offset (RFC 3339), such as `2026-01-01T00:00:00Z`: text, a column `timestamptz`. */
  timestamp: () => z.iso.datetime({ offset: true }),
  /** A day, such as `2026-01-01`: text, a column `date`. */
  date: () => z.iso.date(),
});

const wholeText = /^-?\d{1,400}$/;
const notWhole = 'Not a whole number';
const pointText = /^-?\d{1,400}(?:\.\d{1,400})?$/;
const exponentText = /^-?\d{1,400}(?:\.\d{1,400})?(?:[eE][+-]?\d{1,3})?$/;

function reject(context: z.RefinementCtx, input: string, rejection: RejectionCode, message: string): never {
  context.issues.push({ code: 'custom', input, message, params: { rejection } });
  return z.NEVER;
}
