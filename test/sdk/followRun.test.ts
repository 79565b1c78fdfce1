import assert from 'node:assert/strict';
import { it } from 'node:test';
import { followRun } from '../../sdk/client/followRun.ts';

it('a caller that follows a run can leave, although nothing comes from the connection any more', async () => {
  const left = new AbortController();
  const run = { id: 'orders-1', state: 'awaiting-approval' };
  // As a `fetch` is that its signal does not reach: the stream goes on, and says no more.
  const open = async () =>
    new Response(
      new ReadableStream({
        start: (controller) =>
          controller.enqueue(Buffer.from(`event: run\ndata: ${JSON.stringify(run)}\n\n`)),
      }),
    );
  const seen: unknown[] = [];
  const following = (async () => {
    for await (const one of followRun(open, { at: 'http://any', signal: left.signal, patienceMs: 60_000 })) {
      seen.push(one);
      setImmediate(() => left.abort());
    }
  })();
  await assert.rejects(following, { name: 'AbortError' });
  assert.deepEqual(seen, [run]);
});
