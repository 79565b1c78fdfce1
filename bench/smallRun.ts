import { randomUUID } from 'node:crypto';
import type { DevStack } from '../test/support/devStack.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;

/** Accepts a run of one small record by the envelope, and resolves with its id and how long the answer took. */
export async function triggerSmall(call: Call): Promise<{ id: string; tookMs: number }> {
  const body = JSON.stringify({ records: [{ id: randomUUID(), amount: 1 }] });
  const from = performance.now();
  const response = await call('/v1/pipelines/pings/runs', {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
  });
  const answer = (await response.json()) as { id: string };
  const tookMs = performance.now() - from;
  if (response.status !== 202) throw new Error(`${response.status}: ${JSON.stringify(answer)}`);
  return { id: answer.id, tookMs };
}

/** Follows the run’s events to its end; resolves with its state. */
export async function untilEnded(call: Call, id: string): Promise<string> {
  const response = await call(`/v1/runs/${id}/events`);
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const ended = /"state":"(completed|failed|cancelled)"/.exec(text);
    if (ended) return ended[1]!;
  }
  throw new Error(`the events of ${id} ended before the run`);
}
