import { WaybillError } from '../../domain/errors.ts';

/** Position and line of the record that is being worked on, in memory that the pool of threads sees too. */
export type RecordPosition = Float64Array;

interface RecordPlace {
  position: number;
  line: number;
}

/** `TransformFailed` for what the author’s code threw, with the place of the record and without its values. */
export function codeFailure(what: string, place: RecordPlace, cause: unknown, record: unknown): WaybillError {
  const name = cause instanceof Error ? cause.name : typeof cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const said = holdsValue(message, record, 0) ? '' : `: ${message.slice(0, messageMax)}`;
  return new WaybillError('TransformFailed', {
    detail: `${describePlace(place)}: ${name}: ${message}`,
    publicDetail: `${what} threw ${name}${said} (${describePlace(place)}).`,
    cause,
  });
}

export function describePlace({ position, line }: RecordPlace): string {
  return `position ${position}, line ${line}`;
}

const messageMax = 300;

/** A message may be made of the values of the record, which belong in no history and no log. */
function holdsValue(message: string, value: unknown, depth: number): boolean {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint') {
    const text = String(value);
    return text.length > 2 && message.includes(text);
  }
  if (typeof value !== 'object' || value === null || depth > 64) return false;
  return Object.values(value).some((part) => holdsValue(message, part, depth + 1));
}
