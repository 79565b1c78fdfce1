import { Agent, fetch as undiciFetch } from 'undici';
import type { SourceSettings } from '../domain/connectors/sourceKind.ts';
import { WaybillError } from '../domain/errors.ts';
import type { Outbound } from '../domain/ports/outbound.ts';
import { parseRetryAfter } from '../domain/webhooks/webhookAnswer.ts';
import { checkUrl, type Egress, mayPass, ownErrorIn, publicLookup, retryAfter } from './egress.ts';

const connectTimeoutMs = 10_000;
const answerBytesMax = 16 * 1024 * 1024;

/** Connections are kept: an address that was checked when it was connected stays the same. */
export function createOutbound({
  egressAllow,
  lookup,
}: Pick<SourceSettings, 'egressAllow' | 'lookup'>): Outbound {
  const egress: Egress = {
    allow: egressAllow,
    refusal: 'LookupRefused',
    lookup: lookup as Egress['lookup'],
  };
  const bounds = { maxResponseSize: answerBytesMax, bodyTimeout: 30_000, connections: 16 };
  const agents = {
    named: new Agent({
      ...bounds,
      connect: { timeout: connectTimeoutMs, ...(lookup !== undefined && { lookup: egress.lookup }) },
    }),
    public: new Agent({ ...bounds, connect: { timeout: connectTimeoutMs, lookup: publicLookup(egress) } }),
  };
  return {
    fetch({ secret, signal, onHost }) {
      const call = async (input: string | URL, init: Parameters<typeof undiciFetch>[1] = {}) => {
        const url = URL.parse(String(input));
        if (!url) throw new WaybillError('LookupRefused', { detail: 'not an absolute URL' });
        const dispatcher = agents[checkUrl(url, egress, secret)];
        onHost(url.host);
        const signals = init.signal ? AbortSignal.any([init.signal, signal]) : signal;
        const response = await undiciFetch(url, {
          ...init,
          dispatcher,
          redirect: 'manual',
          signal: signals,
        }).catch((error: unknown) => {
          throw failure(error, signals, url);
        });
        const { status } = response;
        if (!mayPass(status) && (status < 300 || status > 399)) return response;
        await response.body?.cancel().catch(() => {});
        if (status < 400)
          throw new WaybillError('LookupRefused', { publicDetail: `${url.host} answered with a redirect.` });
        const retryAfterMs = parseRetryAfter(response.headers.get('retry-after') ?? undefined, Date.now());
        throw new WaybillError('LookupUnavailable', {
          publicDetail: `${url.host} answered ${status}.`,
          ...retryAfter(retryAfterMs),
        });
      };
      return call as unknown as typeof fetch;
    },
  };
}

/** What undici threw, as one of our codes. The guard’s refusal is wrapped as a cause. */
function failure(error: unknown, signal: AbortSignal, { host }: URL): unknown {
  const isLate = signal.aborted && (signal.reason as Error | undefined)?.name === 'TimeoutError';
  if (isLate)
    return new WaybillError('LookupUnavailable', { publicDetail: `${host} did not answer in time.` });
  if (signal.aborted) return signal.reason;
  return (
    ownErrorIn(error) ??
    new WaybillError('LookupUnavailable', { publicDetail: `${host} does not answer.`, cause: error })
  );
}
