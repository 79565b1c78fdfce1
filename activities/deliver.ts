import { Context } from '@temporalio/activity';
import { canonicalJson } from '../domain/canonicalJson.ts';
import { WaybillError } from '../domain/errors.ts';
import type { GrantClaims } from '../domain/grants/grant.ts';
import { runLinksOf } from '../domain/links.ts';
import type { AttemptFailure, Claim } from '../domain/ports/deliveries.ts';
import { describeCallback } from '../domain/webhooks/callback.ts';
import { judge, placeDelayMs, retryDelayMs, type WebhookAnswer } from '../domain/webhooks/webhookAnswer.ts';
import type { Dependencies } from './index.ts';
import { digestOf } from './run.ts';

/** Of the dependencies only those that no grant is needed for: the delivery that the workflow is about, and no other. */
type CourierDependencies = Pick<
  Dependencies,
  'delivery' | 'deliveries' | 'grants' | 'delegations' | 'definitions' | 'publicUrl' | 'sender'
>;

/** The activities of `deliverWebhook`. They take no argument: all that is sent, and where to, is in the row. */
export function createCourier(deps: CourierDependencies) {
  return {
    deliver: () => deliverStep(deps),
    abandon: () => abandonStep(deps),
  };
}

export type Courier = ReturnType<typeof createCourier>;

/**
 * One attempt: take a place, send, write down what came of it. A worker that dies between sending and writing leaves the event
 * pending, so it is sent again under the same id. Throws `CallbackFailed` and `ReceiverBusy`, which say when to try
 * again, and `DeliveryNotFound`.
 */
async function deliverStep(deps: CourierDependencies): Promise<'delivered' | 'dead-lettered' | 'over'> {
  const asked = await soon(deps.deliveries.claim(deps.delivery()));
  if (asked.outcome === 'claimed') return attempt(deps, asked.claim);
  if (asked.outcome === 'over') return 'over';
  if (asked.outcome === 'unknown') throw new WaybillError('DeliveryNotFound');
  throw new WaybillError('ReceiverBusy', { retryAfterMs: placeAgainMs() });
}

async function attempt(deps: CourierDependencies, claim: Claim): Promise<'delivered' | 'dead-lettered'> {
  if (!(await isGranted(deps, claim)))
    return giveUp(deps, claim, { status: null, code: 'CallbackNotGranted' });
  const answer = await send(deps, claim);
  if (answer === 'refused') return giveUp(deps, claim, { status: null, code: 'CallbackRefused' });
  const failure: AttemptFailure = { status: statusOf(answer), code: 'CallbackFailed' };
  const verdict = judge(answer);
  if (verdict === 'delivered') {
    await soon(deps.deliveries.delivered(claim, statusOf(answer)!));
    return 'delivered';
  }
  if (verdict === 'gone') return giveUp(deps, claim, failure);
  const askedForMs = answer.outcome === 'answered' ? answer.retryAfterMs : undefined;
  const retryAfterMs = retryDelayMs(claim.attempt, Math.random(), askedForMs);
  await soon(deps.deliveries.failed(claim, failure, retryAfterMs));
  const detail = answer.outcome === 'answered' ? `answered ${answer.status}` : answer.why;
  throw new WaybillError('CallbackFailed', { detail, retryAfterMs });
}

/**
 * Whether the grant of the run, or the consent of the schedule, names that receiver and those links. The row of a delivery says where to send it, and may be
 * anybody’s work; what was signed is whoever asked for the run’s, or the schedule’s owner’s. Of approvals its very definition may name another receiver.
 */
async function isGranted(deps: CourierDependencies, claim: Claim): Promise<boolean> {
  const { grant, runId, scheduleId, tenant, url, event } = claim;
  try {
    if (runId === null) {
      const { claims } = await soon(deps.delegations.verify(grant));
      const callback = describeCallback({ url, links: event.data.links });
      return (
        claims.schedule === scheduleId &&
        claims.tenant === tenant &&
        claims.callbackDigest === digestOf(callback)
      );
    }
    const { tctx } = (await soon(deps.grants.verify(grant))).claims;
    if (tctx.workflowId !== runId || tctx.tenant !== tenant) return false;
    const { links } = event.data;
    if (tctx.callbackDigest === digestOf(describeCallback({ url, links }))) return true;
    if (!event.type.startsWith('approval.')) return false;
    const { manifest } = await soon(definitionOf(deps, tctx));
    const ours = canonicalJson(runLinksOf(runId, deps.publicUrl));
    return manifest.approval?.notify === url && canonicalJson(links) === ours;
  } catch (error) {
    if (error instanceof WaybillError && !error.retryable) return false;
    throw error;
  }
}

async function definitionOf({ definitions }: CourierDependencies, tctx: GrantClaims['tctx']) {
  return definitions.require(tctx.pipeline, tctx.definitionDigest);
}

/** Temporal’s patience is at an end, or somebody has cancelled the workflow. */
async function abandonStep({ deliveries, delivery }: CourierDependencies): Promise<'dead-lettered'> {
  await deliveries.abandon(delivery());
  return 'dead-lettered';
}

async function giveUp(
  { deliveries }: CourierDependencies,
  claim: Claim,
  failure: AttemptFailure,
): Promise<'dead-lettered'> {
  await soon(deliveries.abandon(claim, failure));
  return 'dead-lettered';
}

async function send({ sender }: CourierDependencies, claim: Claim): Promise<WebhookAnswer | 'refused'> {
  try {
    return await soon(sender.send(claim));
  } catch (error) {
    if (error instanceof WaybillError && error.code === 'CallbackRefused') return 'refused';
    throw error;
  }
}

function statusOf(answer: WebhookAnswer): number | null {
  return answer.outcome === 'answered' ? answer.status : null;
}

/** What fails on our side, and not on the receiver’s, is tried again soon: nobody there would be bothered. */
async function soon<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof WaybillError) || !error.retryable) throw error;
    const { code, detail } = error;
    throw new WaybillError(code, { ...(detail && { detail }), cause: error, retryAfterMs: placeAgainMs() });
  }
}

function placeAgainMs(): number {
  return placeDelayMs(Context.current().info.attempt, Math.random());
}
