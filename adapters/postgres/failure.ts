import { WaybillError } from '../../domain/errors.ts';

/**
 * What an error of `pg` means to Waybill. Our own errors pass through.
 *
 * `DatabaseUnavailable`: waiting helps (connection, shutdown, too many connections, serialization, deadlock,
 * timeouts, disk full, a credential being rotated). Everything else is `Internal`: a mistake of ours.
 *
 * Source: PostgreSQL 18, appendix A, https://www.postgresql.org/docs/18/errcodes-appendix.html
 */
export function fromPostgres(error: unknown): WaybillError {
  if (error instanceof WaybillError) return error;
  const detail = describe(error);
  return new WaybillError(isPassing(error) ? 'DatabaseUnavailable' : 'Internal', { detail, cause: error });
}

/** The answer, or what its error means. */
export async function asked<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw fromPostgres(error);
  }
}

/**
 * The same for statements that write a user's rows. Also `SinkRejected`: a value or a constraint;
 * `SinkIncompatible`: the table, a column or a privilege is missing. `SinkRejected` has no `cause`, since
 * PostgreSQL repeats the offending value in its message, and values do not belong in logs.
 */
export function fromSink(error: unknown): WaybillError {
  const state = sqlState(error) ?? '';
  if (isPassing(error)) return fromPostgres(error);
  if (/^(22|23|44|54)/.test(state)) return new WaybillError('SinkRejected', { detail: describe(error) });
  if (/^(42|3F|0A)/.test(state))
    return new WaybillError('SinkIncompatible', { detail: describe(error), cause: error });
  return fromPostgres(error);
}

/** Whether the same statement may well succeed later. */
function isPassing(error: unknown): boolean {
  const state = sqlState(error);
  if (state) return /^(08|28|40|53|57|58)/.test(state) || passingStates.has(state);
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === 'string' && networkCodes.has(code)) return true;
  // pg has no code for these; an AggregateError comes from a host name with several addresses.
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isPassing);
  return typeof message === 'string' && connectionLost.test(message);
}

/** `3D000`: no such database (yet); `55P03`: lock not available; `25P03`, `25P04`: idle or transaction timeout. */
const passingStates = new Set(['3D000', '55P03', '55006', '25P02', '25P03', '25P04']);

const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT', // a Unix socket without a server
  'EADDRNOTAVAIL',
  'EMFILE',
]);

const connectionLost =
  /connection (terminated|ended|error|timeout)|timeout exceeded when trying to connect|server closed the connection|client was closed|client has encountered a connection error|query read timeout/i;

/** SQLSTATE: five digits or capitals. Node's own codes, such as `EPIPE`, also fit, but carry no `severity`. */
function sqlState(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown };
  return typeof code === 'string' && typeof severity === 'string' ? code : undefined;
}

function describe(error: unknown): string {
  const state = sqlState(error);
  if (!state) return error instanceof Error ? error.message : String(error);
  const { table, column, constraint, message } = error as Partial<Record<string, string>>;
  const place = Object.entries({ table, column, constraint }).flatMap(([k, v]) => (v ? [`${k} ${v}`] : []));
  // Messages of data exceptions quote the value.
  return [state, ...place, ...(state.startsWith('22') ? [] : [message])].join(', ');
}
