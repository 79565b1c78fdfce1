import { WaybillError } from '../../domain/errors.ts';
import { type Locates, locatorText, type RecordPlace } from '../../domain/runs/rejection.ts';

/**
 * Where the record is that is being worked on, in memory that the pool of threads sees too: what its locator counts, 0 before the
 * first record; position; locator; row group or -1.
 */
export type RecordPosition = Float64Array;

export const recordPositionLength = 4;

type Place = Pick<RecordPlace, 'position' | 'line' | 'rowGroup'>;

/** `TransformFailed` for what the author’s code threw, with the place of the record and without its values. */
export function codeFailure(
  what: string,
  { place, locates }: { place: Place; locates: Locates },
  cause: unknown,
  record: unknown,
): WaybillError {
  const name = cause instanceof Error ? cause.name : typeof cause;
  const message = cause instanceof Error ? cause.message : String(cause);
  const said = holdsValue(message, record, 0) ? '' : `: ${message.slice(0, messageMax)}`;
  return new WaybillError('TransformFailed', {
    detail: `${describePlace(place, locates)}: ${name}: ${message}`,
    publicDetail: `${what} threw ${name}${said} (${describePlace(place, locates)}).`,
    cause,
  });
}

function describePlace(place: Place, locates: Locates): string {
  return `position ${place.position}, ${locatorText(locates, place)}`;
}

const kinds: readonly Locates[] = ['line', 'index', 'row'];

export function notePosition(
  seen: RecordPosition,
  { position, line, rowGroup = -1 }: Place,
  locates: Locates,
): void {
  seen[0] = kinds.indexOf(locates) + 1;
  seen[1] = position;
  seen[2] = line;
  seen[3] = rowGroup;
}

/** `undefined` before the first record. */
export function describePosition([kind = 0, position = 0, line = 0, rowGroup = -1]: RecordPosition):
  | string
  | undefined {
  const place = { position, line, ...(rowGroup >= 0 && { rowGroup }) };
  return kind > 0 ? describePlace(place, kinds[kind - 1]!) : undefined;
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
