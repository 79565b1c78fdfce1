import { proxyLocalActivities } from '@temporalio/workflow';
import { callerActivity } from '../domain/grants/grantHeader.ts';
import type { Principal } from '../domain/principal.ts';

const { [callerActivity]: ask } = proxyLocalActivities<{ [callerActivity](): Promise<Principal> }>({
  startToCloseTimeout: '30s',
});

/**
 * Whom the workflow acts for or, within the handler of a signal or an update, who sent that: verified by a local activity,
 * as code in a workflow cannot. Rejects with the code of the refusal (`ApplicationFailure`, `type: 'GrantMissing'` and
 * so on) where nobody verifiable is there: in the handler of an update that fails the update; a signal is dropped.
 * Ask before anything else in a handler, for what was done before stays done.
 */
export function verifiedCaller(): Promise<Principal> {
  return ask();
}
