import assert from 'node:assert/strict';
import type { Approval, Run } from '../../sdk/client.ts';
import type { DevStack } from './devStack.ts';

type Call = Awaited<ReturnType<DevStack['as']>>;

/** Waits until the run waits for people, and has `steward` approve what is shown. */
export async function approveRun(steward: Call, runId: string): Promise<void> {
  const { links } = await untilItWaits(steward, runId);
  const path = new URL(links.approval!, 'http://any').pathname;
  const { digest } = (await (await steward(path)).json()) as Approval;
  const response = await steward(`${path}/decisions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ decision: 'approve', digest }),
  });
  assert.equal(response.status, 202, await response.text());
}

/** The run once it waits, by its events. */
export async function untilItWaits(call: Call, runId: string): Promise<Run> {
  const response = await call(`/v1/runs/${runId}/events`);
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    assert.doesNotMatch(text, /"state":"(completed|failed|cancelled)"/);
    const waiting = /^data: (.*"state":"awaiting-approval".*)$/m.exec(text);
    if (waiting) return JSON.parse(waiting[1]!) as Run;
  }
  throw new Error(`the events of ${runId} ended before it waited`);
}
