import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import { grantHeader } from '../../domain/grantHeader.ts';

/** Headers are never encoded by a payload codec, so the default converter reads them everywhere. */
export function withGrant(headers: Headers, grant: string): Headers {
  return { ...headers, [grantHeader]: defaultPayloadConverter.toPayload(grant) };
}

/** The grant in the headers, or `undefined` where there is none or it is not a string. */
export function grantOf(headers: Headers): string | undefined {
  const payload = headers[grantHeader];
  if (!payload) return undefined;
  try {
    const value: unknown = defaultPayloadConverter.fromPayload(payload);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
