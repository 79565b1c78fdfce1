import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { Authorization } from '../../application/authorize.ts';
import { mayReadRun } from '../../application/readable.ts';
import { hasEnded } from '../../domain/runs/run.ts';
import { EventStreams } from '../eventStreams.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { runViewOf } from '../runView.ts';

/** Proxies cut what is silent for a minute. */
const heartbeatMs = 15_000;
/** What changes all the time is shown ever less often: a short run at once, a long one twice a second. */
const gapMs = { first: 10, growth: 1.5, max: 500 };
/** A client reconnects after this long, or once its token has expired, and shows one that is valid then. */
const streamMs = 3_600_000;

/**
 * Server-sent events (WHATWG HTML, section 9.2): `event: run` with the run as its data, first as it is now, then
 * whenever it has changed. The stream ends after an end state, and once the caller is revoked. Ids go up from `Last-Event-ID`; since
 * each event is the whole run, a client that reconnects misses nothing that still matters.
 */
export function followRun(ports: ApiPorts, options: ApiOptions, stopping: AbortSignal) {
  const streams = new EventStreams();
  return handler(
    {
      summary: 'Follows a run by server-sent events',
      tags: ['runs'],
      params: byId,
      response: {
        200: { description: 'Events named `run`.', content: { 'text/event-stream': { schema: z.string() } } },
      },
    },
    async ({ authorization, request, reply }) => {
      const { principal } = authorization;
      const leave = streams.enter(principal, await ports.limits.max(principal.tenant, 'eventStreams'));
      const ended = new AbortController();
      reply.raw.once('close', () => ended.abort());
      // A response that waits behind another on its connection never closes: the connection counts too.
      const gone = AbortSignal.any([ended.signal, authorization.signal]);
      gone.addEventListener('abort', leave, { once: true });
      if (gone.aborted) leave();
      const signal = AbortSignal.any([gone, stopping, until(authorization)]);
      const after = Number(request.headers['last-event-id']);
      const events = follow(ports, options, authorization, Number.isSafeInteger(after) ? after : 0, signal);
      return (
        reply
          .header('content-type', 'text/event-stream')
          // The stream ends when the server stops, which must not wait for the connection to time out.
          .header('connection', 'close')
          .header('x-accel-buffering', 'no')
          .send(Readable.from(events))
      );
    },
  );
}

function until({ expiresAtS }: Authorization): AbortSignal {
  return AbortSignal.timeout(Math.min(streamMs, Math.max(0, expiresAtS * 1000 - Date.now())));
}

async function* follow(
  { runs, policy }: ApiPorts,
  options: ApiOptions,
  { principal, run: followed, isRevoked }: Authorization,
  lastId: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const change = asyncSignal(signal);
  const { tenant, id: runId } = followed!;
  runs.watch(runId, change.ring, signal);
  let id = lastId;
  let shown = '';
  let gap = gapMs.first;
  let saidAt = performance.now();
  while (!signal.aborted) {
    // While the database is away, or revocations are unavailable, nothing is shown; the watch looks again by itself.
    const run = await isRevoked()
      .then(async (revoked) => {
        const found = revoked ? null : await runs.find(tenant, runId);
        return found && !mayReadRun(policy, principal, found) ? null : found;
      })
      .catch(() => undefined);
    // The right to read it is gone: a client that connects again is told why.
    if (run === null) return;
    const data = run ? JSON.stringify(runViewOf(run, options)) : shown;
    if (data !== shown) {
      yield `id: ${++id}\nevent: run\ndata: ${data}\n\n`;
      shown = data;
      saidAt = performance.now();
    } else if (performance.now() - saidAt >= heartbeatMs) {
      // The watch rings now and then without a change, so the wait below hardly ever gets that far.
      yield ': still here\n\n';
      saidAt = performance.now();
    }
    if (run && hasEnded(run.state)) return;
    await pause(gap, undefined, { signal }).catch(() => {});
    gap = Math.min(gap * gapMs.growth, gapMs.max);
    await change.rang(heartbeatMs);
  }
}

/** Remembers a ring until it is waited for. */
function asyncSignal(signal: AbortSignal) {
  let rung = false;
  let wake = () => {};
  const ring = () => {
    rung = true;
    wake();
  };
  signal.addEventListener('abort', ring);
  return {
    ring,
    async rang(withinMs: number): Promise<boolean> {
      if (!rung) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, withinMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      const heard = rung;
      rung = false;
      return heard;
    },
  };
}
