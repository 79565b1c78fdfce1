import { proxyLocalActivities } from '@temporalio/workflow';
import { callerActivity } from '../domain/grants/grantHeader.ts';
import type { Principal } from '../domain/principal.ts';

const { [callerActivity]: ask } = proxyLocalActivities<{ [callerActivity](): Promise<Principal> }>({
  startToCloseTimeout: '30s',
});

/**
 * The principal of the workflow or, within the handler of a signal or an update, its sender. A local activity verifies it,
 * since workflow code cannot. Rejects with the code of the refusal (`ApplicationFailure`, `type: 'GrantMissing'` and
 * so on) without a verifiable caller: in the handler of an update that fails the update; a signal is dropped.
 * Ask before anything else in a handler, for what was done before stays done.
 */
export function verifiedCaller(): Promise<Principal> {
  return ask();
}
