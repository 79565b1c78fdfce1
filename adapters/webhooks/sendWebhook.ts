import { Agent, request } from 'undici';
import { type Egress, ownErrorIn, publicLookup } from '../../connectors/egress.ts';
import type { WebhookSender } from '../../domain/ports/deliveries.ts';
import { parseRetryAfter, type WebhookAnswer } from '../../domain/webhooks/webhookAnswer.ts';
import { signedContent, webhookBody } from '../../domain/webhooks/webhookEvent.ts';
import { callbackEgress, checkCallback } from './checkCallback.ts';
import type { WebhookSigner } from './webhookKeys.ts';

const connectTimeoutMs = 5_000;
/** From the lookup of the name to the last header of the answer; Standard Webhooks recommends 15 to 30 s. */
const answerTimeoutMs = 15_000;

/**
 * One POST on a connection of its own: no redirect is followed, no proxy asked, no credential sent, and of the answer nothing but
 * the status and `Retry-After` is read, so that nothing comes back from where a caller pointed.
 */
export function createWebhookSender(options: {
  keys: WebhookSigner;
  callbackAllow: readonly string[];
  lookup?: Egress['lookup'];
  now?: () => number;
}): WebhookSender {
  const egress = callbackEgress(options.callbackAllow, options.lookup);
  const now = options.now ?? Date.now;
  return {
    async send({ event, url: text, tenant }) {
      const { url, host } = checkCallback(text, egress);
      const body = webhookBody(event);
      const sentAtS = Math.floor(now() / 1000);
      const signatures = await options.keys.sign(tenant, signedContent(event.id, sentAtS, body));
      const headers = {
        'content-type': 'application/json',
        'user-agent': 'waybill',
        'webhook-id': event.id,
        'webhook-timestamp': String(sentAtS),
        'webhook-signature': signatures.map((signature) => `v1a,${signature}`).join(' '),
      };
      return post(url, { body, headers }, host === 'named' ? egress.lookup : publicLookup(egress), now);
    },
  };
}

async function post(
  url: URL,
  message: { body: string; headers: Record<string, string> },
  lookup: Egress['lookup'] | ReturnType<typeof publicLookup>,
  now: () => number,
): Promise<WebhookAnswer> {
  const agent = new Agent({
    connect: {
      timeout: connectTimeoutMs,
      ...(lookup && { lookup: lookup as ReturnType<typeof publicLookup> }),
    },
  });
  try {
    const { statusCode, headers, body } = await request(url, {
      ...message,
      method: 'POST',
      dispatcher: agent,
      signal: AbortSignal.timeout(answerTimeoutMs),
    });
    // Destroying the agent below makes the unread body fail.
    body.on('error', () => {});
    const retryAfterMs = parseRetryAfter(headers['retry-after'], now());
    return { outcome: 'answered', status: statusCode, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  } catch (error) {
    return unreachable(error);
  } finally {
    await agent.destroy();
  }
}

/** The guard’s refusal arrives as it is, or wrapped as a cause. What else went wrong is told by its code alone. */
function unreachable(error: unknown): WebhookAnswer {
  const own = ownErrorIn(error);
  if (own) throw own;
  const { code, name } = error as { code?: unknown; name?: unknown };
  return { outcome: 'unreachable', why: typeof code === 'string' ? code : String(name) };
}
