/**
 * What became of one record in a transform. `skip` and `reject` return marked values, so that nothing a pipeline
 * returns by accident (`null`, `undefined`, `false`) can pass for a decision to leave a record out.
 */
const mark = Symbol.for('waybill.outcome');

/** Leaves the record out on purpose; it counts as `filtered`. Throws `TypeError` for a malformed code. */
export function skip(code: string): Skip {
  return Object.freeze({ [mark]: 'skip' as const, code: checkCode(code) });
}

/**
 * Refuses the record; it becomes a dead letter and counts as `rejected`. Throws `TypeError` for a malformed code.
 * @param code of the pipeline’s own, such as `CurrencyUnknown`
 * @param options.path dotted path of the offending field, default `''`: the whole record
 * @param options.message shown to the person who repairs the record: never put a value of the record into it
 */
export function reject(code: string, options: { path?: string; message?: string } = {}): Reject {
  const { path = '', message = 'The pipeline refused the record.' } = options;
  return Object.freeze({ [mark]: 'reject' as const, code: checkCode(code), path, message });
}

export interface Skip {
  readonly [mark]: 'skip';
  readonly code: string;
}

export interface Reject {
  readonly [mark]: 'reject';
  readonly code: string;
  readonly path: string;
  readonly message: string;
}

export function isSkip(value: unknown): value is Skip {
  return typeof value === 'object' && value !== null && mark in value && value[mark] === 'skip';
}

export function isReject(value: unknown): value is Reject {
  return typeof value === 'object' && value !== null && mark in value && value[mark] === 'reject';
}

const codePattern = /^[A-Za-z][A-Za-z0-9_.-]{0,62}$/;

function checkCode(code: string): string {
  if (!codePattern.test(code))
    throw new TypeError('A code is a letter and up to 62 letters, digits, `_`, `.`, `-`.');
  return code;
}
