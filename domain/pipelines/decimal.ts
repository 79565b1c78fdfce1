import { z } from 'zod';
import { plainDecimal } from '../json/decimalText.ts';

/**
 * An exact decimal, for amounts and for ids of any length: a column `numeric`. A number of JSON, of a text or of Parquet arrives
 * digit by digit and is carried as text without an exponent and without zeros at its end, so that equal values are equal texts.
 * Text may have a sign, digits and one point, nothing else.
 *
 * Throws `RangeError` for bounds that PostgreSQL does not have.
 * @param precision how many digits at most, 1 to 1,000
 * @param scale how many of them after the point at most, default 0
 * @example amount: decimal(12, 2)
 */
export function decimal(precision: number, scale = 0): DecimalSchema<string | number | bigint> {
  return decimalOf(z.union([z.string(), z.number(), z.bigint()]), precision, scale);
}

/** The same for fields that are text, where a number would be a mistake. */
export function decimalOfText(precision: number, scale = 0): DecimalSchema<string> {
  return decimalOf(z.string(), precision, scale);
}

type DecimalSchema<Input extends string | number | bigint> = z.ZodPipe<
  z.ZodPipe<z.ZodType<Input, Input>, z.ZodTransform<string, Input>>,
  z.ZodCustomStringFormat<'decimal'>
>;

function decimalOf<Input extends string | number | bigint>(
  input: z.ZodType<Input, Input>,
  precision: number,
  scale: number,
): DecimalSchema<Input> {
  if (!Number.isInteger(precision) || precision < 1 || precision > 1_000)
    throw new RangeError('decimal(precision, scale): precision is 1 to 1,000 digits.');
  if (!Number.isInteger(scale) || scale < 0 || scale > precision)
    throw new RangeError('decimal(precision, scale): scale is 0 to precision.');
  const message = `Not a decimal of at most ${precision} digits, ${scale} of them after the point`;
  return input
    .transform((value, context) => {
      const isNumber = typeof value !== 'string' || plainText.test(value);
      const text = isNumber ? plainDecimal(String(value)) : undefined;
      if (text !== undefined && fits(text, precision, scale)) return text;
      context.issues.push({ code: 'custom', input: value, message });
      return z.NEVER;
    })
    .pipe(z.stringFormat('decimal', plainText))
    .meta({ precision, scale });
}

const plainText = /^-?\d+(?:\.\d+)?$/;

function fits(text: string, precision: number, scale: number): boolean {
  const [whole, fraction = ''] = text.replace('-', '').split('.');
  const wholeDigits = whole === '0' ? 0 : whole!.length;
  return fraction.length <= scale && wholeDigits <= precision - scale;
}
