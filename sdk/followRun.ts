import { EventSourceParserStream } from 'eventsource-parser/stream';
import { hasEnded } from '../domain/runs/run.ts';
import type { Run } from './client.ts';
import { ApiUnreachable, ProblemError } from './problem.ts';

/** Asks for the events after `lastId`. Throws `ProblemError` where it is refused, `ApiUnreachable` where nobody answers. */
export type OpenEvents = (lastId: string | undefined, signal: AbortSignal) => Promise<Response>;

/** The server says something every 15 s; after this long the connection counts as dead. */
const silenceMs = 45_000;
const retryMs = { first: 100, growth: 2, max: 2_000 };

/**
 * The run as it is now, then each time that it has changed; ends after an end state. A connection that breaks is made
 * anew until `patienceMs` have passed without one, then `ApiUnreachable` is thrown. Every event is the whole run, so
 * nothing is missed that still matters.
 */
export async function* followRun(
  open: OpenEvents,
  { at, signal, patienceMs }: { at: string; signal: AbortSignal; patienceMs: number },
): AsyncGenerator<Run> {
  let lastId: string | undefined;
  let heardAt = performance.now();
  const heard = () => {
    heardAt = performance.now();
  };
  for (let gap = retryMs.first; !signal.aborted; ) {
    try {
      for await (const event of eventsOf(open, at, lastId, signal, heard)) {
        gap = retryMs.first;
        lastId = event.id ?? lastId;
        if (event.event !== 'run') continue;
        const run = JSON.parse(event.data) as Run;
        yield run;
        if (hasEnded(run.state)) return;
      }
      // A stream may end before its run does: after an hour, or because that API process stops.
      heardAt = performance.now();
    } catch (error) {
      signal.throwIfAborted();
      if (!mayPass(error) || performance.now() - heardAt > patienceMs) throw error;
    }
    await pause(gap, signal);
    gap = Math.min(gap * retryMs.growth, retryMs.max);
  }
}

function mayPass(error: unknown): boolean {
  if (error instanceof ProblemError) return error.status >= 500 || error.status === 429;
  return error instanceof ApiUnreachable;
}

async function* eventsOf(
  open: OpenEvents,
  at: string,
  lastId: string | undefined,
  signal: AbortSignal,
  heard: () => void,
) {
  const silent = new AbortController();
  const timer = setTimeout(() => silent.abort(new ApiUnreachable(at)), silenceMs);
  try {
    const response = await open(lastId, AbortSignal.any([signal, silent.signal]));
    const bytes = response.body!.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        start(controller) {
          // The signals alone do not reach a `fetch` whose request has been collected meanwhile.
          const end = () => controller.error(new ApiUnreachable(at));
          silent.signal.addEventListener('abort', end);
          signal.addEventListener('abort', end, { signal: silent.signal });
        },
        transform(chunk, controller) {
          timer.refresh();
          heard();
          controller.enqueue(chunk);
        },
      }),
    );
    const texts = bytes.pipeThrough(new TextDecoderStream());
    yield* untilItBreaks(at, texts.pipeThrough(new EventSourceParserStream()));
  } finally {
    clearTimeout(timer);
    // Whoever stops listening closes the connection with it.
    silent.abort();
  }
}

/** What goes wrong while a stream is read is the connection’s fault. */
async function* untilItBreaks<T>(at: string, items: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  for (;;) {
    const next = await iterator.next().catch((error) => {
      throw new ApiUnreachable(at, error);
    });
    if (next.done) return;
    yield next.value;
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
