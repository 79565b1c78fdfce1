import { randomBytes } from 'node:crypto';

/**
 * The trace id of a request: the caller’s, by W3C Trace Context `traceparent`, or a new one. It follows the data
 * as `txn` of the grant.
 */
export function traceIdOf(traceparent: string | string[] | undefined): string {
  const match = typeof traceparent === 'string' ? traceparentPattern.exec(traceparent) : null;
  const [, version, traceId, parentId, rest] = match ?? [];
  const valid =
    traceId !== undefined &&
    version !== 'ff' &&
    nonZero.test(traceId) &&
    nonZero.test(parentId ?? '') &&
    (version !== '00' || !rest);
  return valid ? traceId : randomBytes(16).toString('hex');
}

/** `traceresponse` of Trace Context level 2: our part of the trace, recorded. */
export function traceResponseOf(traceId: string): string {
  return `00-${traceId}-${randomBytes(8).toString('hex')}-01`;
}

const traceparentPattern = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$/;
const nonZero = /[^0]/;
