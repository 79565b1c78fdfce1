import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';

/** Throws where the server does not answer within 4 s, or the body is not complete within 5 minutes. */
export async function downloadTo(
  url: string,
  file: string,
  { signal, headers = {} }: { signal: AbortSignal; headers?: Record<string, string> },
): Promise<void> {
  const timeout = new AbortController();
  let timer = setTimeout(() => timeout.abort(new Error(`no answer within ${headersMs / 1000} s`)), headersMs);
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.any([timeout.signal, signal]) }).catch(
      (error) => {
        throw error.cause ?? error;
      },
    );
    clearTimeout(timer);
    timer = setTimeout(() => timeout.abort(new Error(`not complete within ${bodyMs / 1000} s`)), bodyMs);
    if (!response.ok || !response.body) throw new Error(`${new URL(url).host} answered ${response.status}`);
    await pipeline(response.body, createWriteStream(file));
  } finally {
    clearTimeout(timer);
  }
}

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}

const headersMs = 4_000;
const bodyMs = 300_000;
