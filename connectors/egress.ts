import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { WaybillError } from '../domain/errors.ts';

/**
 * Which addresses Waybill may call on behalf of a caller. A URL is checked three times, for each check sees what
 * the others cannot: its literal host after WHATWG parsing (`http://0x7f000001/` is 127.0.0.1, and no lookup is
 * made for a literal), the addresses that a name has at the moment of connecting (so that a name cannot answer
 * differently the second time), and both again for each redirect.
 */
export interface Egress {
  /** `host:port` of hosts that may be called whatever their address is. */
  allow: readonly string[];
  /** The code of every refusal. Default: `SourceRefused`. */
  refusal?: 'SourceRefused' | 'SinkRefused' | 'CallbackRefused' | 'LookupRefused';
  /** Resolves names; default is the system’s resolver. */
  lookup?: typeof systemLookup | undefined;
}

/**
 * Whether the host is one that the operator named. Throws `egress.refusal` for any URL that may not be called. With
 * `httpsOnly`, a host that is not allowed by name is called by https alone: no party on the way reads or alters anything.
 */
export function checkUrl(url: URL, egress: Egress, httpsOnly = false): 'named' | 'public' {
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw refused(egress, `${url.protocol} is neither http nor https`);
  if (url.username || url.password) throw refused(egress, 'the URL carries credentials');
  if (egress.allow.some((entry) => originOf(entry) === originOf(`${url.hostname}:${portOf(url)}`)))
    return 'named';
  const host = url.hostname.replace(/^\[|\]$|\.$/g, '');
  if (ipaddr.isValid(host) ? !isPublic(host) : /(^|\.)localhost$/.test(host))
    throw refused(egress, 'the address is not public');
  if (httpsOnly && url.protocol !== 'https:') throw refused(egress, 'it is called by https only');
  return 'public';
}

/** A lookup that answers only with public addresses: one other among them is enough to refuse the name. */
export function publicLookup(egress: Egress): LookupFunction {
  const lookup = egress.lookup ?? systemLookup;
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      const first = addresses?.[0];
      if (error || !first) return callback(error ?? new Error(`${hostname} has no address`), '', 0);
      if (!addresses.every(({ address }) => isPublic(address)))
        return callback(refused(egress, 'the name leads to an address that is not public'), '', 0);
      if (options.all) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

/** Only global unicast: no loopback, private, link-local, multicast, mapped, translated or reserved address. */
function isPublic(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== 'unicast' || parsed.toString() === azureHost) return false;
  // What the library has no name for counts as unicast there (`::127.0.0.1` does), but IANA gave out only 2000::/3.
  return parsed.kind() === 'ipv4' || parsed.match(globalUnicast);
}

/** Azure’s WireServer: a public address that leads from any virtual machine to the platform below it. */
const azureHost = '168.63.129.16';

const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/** `undefined` for an entry that names no host and port, so that it matches nothing. */
function originOf(entry: string): string | undefined {
  const url = URL.parse(`http://${entry}`);
  return url && /:\d+$/.test(entry) ? `${url.hostname.replace(/\.$/, '')}:${url.port || '80'}` : undefined;
}

function portOf(url: URL): string {
  return url.port || (url.protocol === 'https:' ? '443' : '80');
}

function refused({ refusal = 'SourceRefused' }: Egress, detail: string): WaybillError {
  return new WaybillError(refusal, { detail });
}

/** Of all 4xx only these may pass by themselves: too slow, too early, too many. */
const passingStatuses: readonly number[] = [408, 425, 429];

/** Whether the same request may be answered otherwise later. */
export function mayPass(status: number): boolean {
  return status >= 500 || passingStatuses.includes(status);
}

/** A server that wants more is asked earlier. */
const waitMaxMs = 60 * 60 * 1000;

/** For an error: how long the server wants to be left alone, where it says so. */
export function retryAfter(ms: number | undefined): { retryAfterMs?: number } {
  return ms ? { retryAfterMs: Math.min(ms, waitMaxMs) } : {};
}

/** The guard’s refusal, which undici wraps as a cause. */
export function ownErrorIn(error: unknown): WaybillError | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof WaybillError) return cause;
  return undefined;
}
