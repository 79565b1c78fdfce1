import { EventSourceParserStream } from 'eventsource-parser/stream';
import { hasEnded } from '../../domain/runs/run.ts';
import type { components } from '../generated/openapi.d.ts';
import { ApiUnreachable, ProblemError } from './problem.ts';

type Run = components['schemas']['Run'];

/** Asks for the events after `lastId`. Throws `ProblemError`, and `ApiUnreachable` if the API does not answer. */
export type OpenEvents = (lastId: string | undefined, signal: AbortSignal) => Promise<Response>;

/** The server says something every 15 s; after this long the connection counts as dead. */
const silenceMs = 45_000;
const retryMs = { first: 100, growth: 2, max: 2_000 };

/**
 * The run as it is now, then each time that it has changed; ends after an end state. It reconnects until `patienceMs` have
 * passed without a connection, then throws `ApiUnreachable`. Every event is the whole run, so a missed event does no harm.
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
          // The signals alone do not reach a `fetch` after its request was garbage-collected.
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
    // A caller that stops listening closes the connection.
    silent.abort();
  }
}

/** An error while a stream is read is one of the connection. */
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
