/** What came of an attempt. */
export type WebhookAnswer =
  | { outcome: 'answered'; status: number /** `Retry-After` */; retryAfterMs?: number }
  | { outcome: 'unreachable'; why: string };

/**
 * Standard Webhooks, “Delivery success and failure”: 2xx is success; 410 means that the receiver never wants this; all else,
 * redirects included, is tried again.
 */
export function judge(answer: WebhookAnswer): 'delivered' | 'gone' | 'again' {
  if (answer.outcome === 'unreachable') return 'again';
  if (answer.status >= 200 && answer.status < 300) return 'delivered';
  return answer.status === 410 ? 'gone' : 'again';
}

/**
 * 5 s, 15 s, 45 s, 2 min, 7 min, 20 min, 1 h, 3 h, then every 8 h: some 17 attempts in three days. Temporal keeps the
 * time and gives up; it knows no jitter, so an attempt that fails says itself when the next one is due.
 */
export const retries = {
  initialMs: 5_000,
  coefficient: 3,
  maximumMs: 8 * 3_600_000,
  giveUpAfterMs: 3 * 86_400_000,
};

/** `attempt` counts from 1; `random` is in [0, 1). A receiver may ask for more patience, not for less. */
export function retryDelayMs(attempt: number, random: number, askedForMs = 0): number {
  const grown = retries.initialMs * retries.coefficient ** Math.min(attempt - 1, 20);
  const spread = Math.min(grown, retries.maximumMs) * (0.75 + random / 2);
  return Math.round(Math.min(Math.max(spread, askedForMs), retries.maximumMs));
}

/** When to ask again for a place among the attempts under way: soon, then ever more rarely, so that a long queue costs little. */
export function placeDelayMs(asked: number, random: number): number {
  return Math.round(Math.min(500 * 2 ** Math.min(asked - 1, 10), 60_000) * (0.5 + random));
}

/** `Retry-After` (RFC 9110, 10.2.3): seconds, or a date. */
export function parseRetryAfter(header: unknown, nowMs: number): number | undefined {
  if (typeof header !== 'string') return undefined;
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000;
  const at = /^[A-Z][a-z]{2}, /.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}
