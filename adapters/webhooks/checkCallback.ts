import { checkUrl, type Egress } from '../../connectors/egress.ts';
import { WaybillError } from '../../domain/errors.ts';

/**
 * Which URLs events may be sent to: public hosts by https, and the hosts that the operator allows for callbacks. Sources have a
 * list of their own: a host that Waybill may read from is not one that it may post to. Throws `CallbackRefused`.
 */
export function createCallbackCheck(settings: { callbackAllow: readonly string[] }) {
  const egress = callbackEgress(settings.callbackAllow);
  return (url: string): void => void checkCallback(url, egress);
}

export function callbackEgress(allow: readonly string[], lookup?: Egress['lookup']): Egress {
  return { allow, refusal: 'CallbackRefused', ...(lookup && { lookup }) };
}

/** As `checkUrl`; the URL is parsed only once, so that what is checked is what is called. */
export function checkCallback(text: string, egress: Egress): { url: URL; host: 'named' | 'public' } {
  const url = URL.parse(text);
  if (!url) throw new WaybillError('CallbackRefused', { detail: 'not a URL' });
  return { url, host: checkUrl(url, egress, true) };
}
