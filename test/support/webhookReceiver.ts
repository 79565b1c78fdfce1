import { createPublicKey, verify } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { choosePorts } from '../../dev/stack/ports.ts';

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  path: string;
  atMs: number;
}

/** A receiver over real HTTP that answers as a test says and keeps what it got. */
export async function startReceiver(
  answer: (response: ServerResponse, got: Received) => void = (response) =>
    void response.writeHead(204).end(),
  port?: number,
) {
  const received: Received[] = [];
  let changed = () => {};
  let answering = answer;
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => {
      const got = { headers: request.headers, body, path: request.url!, atMs: performance.now() };
      received.push(got);
      changed();
      answering(response, got);
    });
  });
  const at = port ?? (await choosePorts({ port: 0 })).port;
  await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${at}`,
    host: `127.0.0.1:${at}`,
    received,
    answerBy(other: typeof answer) {
      answering = other;
    },
    /** Resolves with the first that matches, whether it is here or still to come. */
    async until(matches: (got: Received) => boolean): Promise<Received> {
      for (;;) {
        const found = received.find(matches);
        if (found) return found;
        await new Promise<void>((resolve) => {
          changed = resolve;
        });
      }
    },
    stop: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/**
 * The check of a receiver, by hand from the specification (Standard Webhooks 1.0, “Verifying signatures”): the three headers
 * are there, the time is within five minutes, and one of the signatures of version `v1a` is one of `id.timestamp.body` by
 * one of the keys, each of which is written `whpk_<base64>`.
 */
export function verifies(
  { headers, body }: Pick<Received, 'headers' | 'body'>,
  whpks: readonly string[],
  nowS = Math.floor(Date.now() / 1000),
): boolean {
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(
    (name) => headers[name],
  );
  if (typeof id !== 'string' || typeof timestamp !== 'string' || typeof signatures !== 'string') return false;
  if (!/^\d+$/.test(timestamp) || Math.abs(nowS - Number(timestamp)) > 300) return false;
  const content = Buffer.from(`${id}.${timestamp}.${body}`);
  const keys = whpks.map((whpk) =>
    createPublicKey({
      key: {
        kty: 'OKP',
        crv: 'Ed25519',
        x: Buffer.from(whpk.slice('whpk_'.length), 'base64').toString('base64url'),
      },
      format: 'jwk',
    }),
  );
  return signatures.split(' ').some((entry) => {
    const [version, signature] = entry.split(',');
    if (version !== 'v1a' || !signature) return false;
    return keys.some((key) => verify(null, content, key, Buffer.from(signature, 'base64')));
  });
}
