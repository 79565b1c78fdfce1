import { canonicalJson } from '../canonicalJson.ts';

/** Where to tell how a run goes, and the links that are told. */
export interface Callback {
  url: string;
  links: Readonly<Record<string, string>>;
}

/** All that is bound to the grant of it, as a text to make a digest of. What events tell besides is not known when that is signed. */
export function describeCallback({ url, links }: { url: string; links: unknown }): string {
  return canonicalJson({ url, links });
}
