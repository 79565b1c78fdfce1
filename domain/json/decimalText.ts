/**
 * Numbers as text, compared by value and never by what a double makes of them: `1.50`, `15e-1` and `1.5` are one value.
 */
const numberText = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/;

/** Digits without zeros at either end, and the power of ten of the last one; no digits are zero. */
interface Decimal {
  negative: boolean;
  digits: string;
  exponent: number;
}

function decimalOf(text: string): Decimal | undefined {
  const [, sign, whole, fraction = '', power = '0'] = numberText.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const all = whole + fraction;
  const digits = all.replace(/^0+/, '').replace(/0+$/, '');
  if (digits === '') return { negative: false, digits, exponent: 0 };
  const zeros = all.length - all.replace(/0+$/, '').length;
  return { negative: sign === '-', digits, exponent: Number(power) - fraction.length + zeros };
}

/**
 * A number without exponent, without zeros that mean nothing, and without a negative zero, so that equal values have equal texts.
 * `undefined` where the text is no decimal number or has more than `digitsMax` digits on either side of the point.
 */
export function plainDecimal(text: string, digitsMax = 1_000): string | undefined {
  const value = decimalOf(text);
  if (!value) return undefined;
  const { negative, digits, exponent } = value;
  if (digits === '') return '0';
  const wholeDigits = Math.max(digits.length + exponent, 1);
  if (wholeDigits > digitsMax || -exponent > digitsMax) return undefined;
  const sign = negative ? '-' : '';
  if (exponent >= 0) return sign + digits + '0'.repeat(exponent);
  const padded = digits.padStart(1 - exponent, '0');
  return `${sign}${padded.slice(0, exponent)}.${padded.slice(exponent)}`;
}

/** Whether the double that JavaScript reads prints back as an equal number: 0.1 does, 9007199254740993 does not. */
export function isDoubleExact(text: string): boolean {
  const value = Number(text);
  if (!Number.isFinite(value)) return false;
  const [a, b] = [decimalOf(text), decimalOf(String(value))];
  return a?.digits === b?.digits && a?.exponent === b?.exponent;
}

/** The whole number that the text names, with or without exponent; `undefined` for a fraction or more than 1,000 digits. */
export function wholeNumber(text: string): bigint | undefined {
  const plain = plainDecimal(text);
  return plain === undefined || plain.includes('.') ? undefined : BigInt(plain);
}
