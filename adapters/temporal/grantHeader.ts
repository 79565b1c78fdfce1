import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import type { BindingFault } from '../../domain/grants/grantBinding.ts';
import { continuedHeader, faultHeader, grantHeader, resetHeader } from '../../domain/grants/grantHeader.ts';

/** What a workflow, or the handler of a message to it, carries: nothing, a grant, or one that was signed for something else. */
export interface CarriedGrant {
  grant?: string;
  fault?: BindingFault;
}

/** Headers are never encoded by a payload codec, so the default converter reads them everywhere. */
export function withGrant(headers: Headers, grant: string): Headers {
  return { ...headers, [grantHeader]: defaultPayloadConverter.toPayload(grant) };
}

/** The grant in the headers, or `undefined` where there is none or it is not a string. */
export function grantOf(headers: Headers): string | undefined {
  return textOf(headers, grantHeader);
}

/** Why the workflow says that the grant of an activity was signed for something else; whatever stands there is a fault. */
export function faultOf(headers: Headers): string | undefined {
  return headers[faultHeader] && (textOf(headers, faultHeader) || 'unreadable');
}

/** Which execution was reset, where the one of the activity was made by that. */
export function resetOf(headers: Headers): string | undefined {
  return textOf(headers, resetHeader);
}

/** The activity rejects a grant with a fault, and audits it with the principal of the grant. A reset is audited and continues. */
export function forActivity({ grant, fault }: CarriedGrant, reset: string | undefined): Headers {
  if (grant === undefined) return {};
  return {
    ...withGrant({}, grant),
    ...(fault && { [faultHeader]: defaultPayloadConverter.toPayload(fault) }),
    ...(reset && { [resetHeader]: defaultPayloadConverter.toPayload(reset) }),
  };
}

/** Only activities get a grant with a fault: others could not see the fault. */
export function forOthers({ grant, fault }: CarriedGrant): Headers {
  return grant === undefined || fault ? {} : withGrant({}, grant);
}

export function forContinuation(carried: CarriedGrant, firstExecutionRunId: string): Headers {
  const continued = { [continuedHeader]: defaultPayloadConverter.toPayload(firstExecutionRunId) };
  return { ...forOthers(carried), ...continued };
}

export function isContinued(headers: Headers, firstExecutionRunId: string): boolean {
  return textOf(headers, continuedHeader) === firstExecutionRunId;
}

function textOf(headers: Headers, name: string): string | undefined {
  const payload = headers[name];
  if (!payload) return undefined;
  try {
    const value: unknown = defaultPayloadConverter.fromPayload(payload);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
