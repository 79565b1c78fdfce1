import { Context } from '@temporalio/activity';
import { canonicalJson } from '../domain/canonicalJson.ts';
import { WaybillError } from '../domain/errors.ts';
import type { GrantClaims } from '../domain/grants/grant.ts';
import { runLinksOf } from '../domain/links.ts';
import type { AttemptFailure, Claim } from '../domain/ports/deliveries.ts';
import { describeCallback } from '../domain/webhooks/callback.ts';
import { judge, placeDelayMs, retryDelayMs, type WebhookAnswer } from '../domain/webhooks/webhookAnswer.ts';
import type { Dependencies } from './dependencies.ts';
import { digestOf } from './run.ts';

/** Only the ports that need no grant: the delivery of the current workflow, and no other. */
type DeliveryDependencies = Pick<
  Dependencies,
  'delivery' | 'deliveries' | 'grants' | 'delegations' | 'definitions' | 'publicUrl' | 'sender'
>;

/** The activities of `deliverWebhook`. They take no argument: the row holds content and receiver. */
export function createWebhookDelivery(deps: DeliveryDependencies) {
  return {
    deliver: () => deliverStep(deps),
    abandon: () => abandonStep(deps),
  };
}

export type WebhookDeliveryActivities = ReturnType<typeof createWebhookDelivery>;

/**
 * One attempt: claim a slot, send, record the outcome. A worker that dies between sending and recording leaves the event
 * pending, so it is sent again under the same id. Throws `CallbackFailed` and `ReceiverBusy`, which say when to
 * retry, and `DeliveryNotFound`.
 */
async function deliverStep(deps: DeliveryDependencies): Promise<'delivered' | 'dead-lettered' | 'over'> {
  const asked = await retrySoon(deps.deliveries.claim(deps.delivery()));
  if (asked.outcome === 'claimed') return attempt(deps, asked.claim);
  if (asked.outcome === 'over') return 'over';
  if (asked.outcome === 'unknown') throw new WaybillError('DeliveryNotFound');
  throw new WaybillError('ReceiverBusy', { retryAfterMs: slotRetryMs() });
}

async function attempt(deps: DeliveryDependencies, claim: Claim): Promise<'delivered' | 'dead-lettered'> {
  if (!(await isGranted(deps, claim)))
    return giveUp(deps, claim, { status: null, code: 'CallbackNotGranted' });
  const answer = await send(deps, claim);
  if (answer === 'rejected') return giveUp(deps, claim, { status: null, code: 'CallbackRefused' });
  const failure: AttemptFailure = { status: statusOf(answer), code: 'CallbackFailed' };
  const verdict = judge(answer);
  if (verdict === 'delivered') {
    await retrySoon(deps.deliveries.delivered(claim, statusOf(answer)!));
    return 'delivered';
  }
  if (verdict === 'gone') return giveUp(deps, claim, failure);
  const askedForMs = answer.outcome === 'answered' ? answer.retryAfterMs : undefined;
  const retryAfterMs = retryDelayMs(claim.attempt, Math.random(), askedForMs);
  await retrySoon(deps.deliveries.failed(claim, failure, retryAfterMs));
  const detail = answer.outcome === 'answered' ? `answered ${answer.status}` : answer.why;
  throw new WaybillError('CallbackFailed', { detail, retryAfterMs });
}

/**
 * Whether the grant of the run, or the consent of the schedule, names that receiver and those links. An attacker may write the row of
 * a delivery, but not the grant or the consent. The definition may name another receiver for approvals.
 */
async function isGranted(deps: DeliveryDependencies, claim: Claim): Promise<boolean> {
  const { grant, runId, scheduleId, tenant, url, event } = claim;
  try {
    if (runId === null) {
      const { claims } = await retrySoon(deps.delegations.verify(grant));
      const callback = describeCallback({ url, links: event.data.links });
      return (
        claims.schedule === scheduleId &&
        claims.tenant === tenant &&
        claims.callbackDigest === digestOf(callback)
      );
    }
    const { tctx } = (await retrySoon(deps.grants.verify(grant))).claims;
    if (tctx.workflowId !== runId || tctx.tenant !== tenant) return false;
    const { links } = event.data;
    if (tctx.callbackDigest === digestOf(describeCallback({ url, links }))) return true;
    if (!event.type.startsWith('approval.')) return false;
    const { manifest } = await retrySoon(definitionOf(deps, tctx));
    const ours = canonicalJson(runLinksOf(runId, deps.publicUrl));
    return manifest.approval?.notify === url && canonicalJson(links) === ours;
  } catch (error) {
    if (error instanceof WaybillError && !error.retryable) return false;
    throw error;
  }
}

async function definitionOf({ definitions }: DeliveryDependencies, tctx: GrantClaims['tctx']) {
  return definitions.require(tctx.pipeline, tctx.definitionDigest);
}

/** The retries are exhausted, or a user has cancelled the workflow. */
async function abandonStep({ deliveries, delivery }: DeliveryDependencies): Promise<'dead-lettered'> {
  await deliveries.abandon(delivery());
  return 'dead-lettered';
}

async function giveUp(
  { deliveries }: DeliveryDependencies,
  claim: Claim,
  failure: AttemptFailure,
): Promise<'dead-lettered'> {
  await retrySoon(deliveries.abandon(claim, failure));
  return 'dead-lettered';
}

async function send({ sender }: DeliveryDependencies, claim: Claim): Promise<WebhookAnswer | 'rejected'> {
  try {
    return await retrySoon(sender.send(claim));
  } catch (error) {
    if (error instanceof WaybillError && error.code === 'CallbackRefused') return 'rejected';
    throw error;
  }
}

function statusOf(answer: WebhookAnswer): number | null {
  return answer.outcome === 'answered' ? answer.status : null;
}

/** A failure on our side is retried soon: it does not bother the receiver. */
async function retrySoon<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof WaybillError) || !error.retryable) throw error;
    const { code, detail } = error;
    throw new WaybillError(code, { ...(detail && { detail }), cause: error, retryAfterMs: slotRetryMs() });
  }
}

function slotRetryMs(): number {
  return placeDelayMs(Context.current().info.attempt, Math.random());
}
