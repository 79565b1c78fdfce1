import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A source over HTTP that sends bytes when a test says so. Each request gets all that was sent for its path so far, and
 * then what follows; so a run can be held in the midst of its reading.
 */
export async function serveHeldFeed() {
  const feeds = new Map<string, { sent: string; ended: boolean; readers: Set<ServerResponse> }>();
  const feedOf = (name: string) => {
    const feed = feeds.get(name) ?? { sent: '', ended: false, readers: new Set() };
    feeds.set(name, feed);
    return feed;
  };
  const asked = new Set<string>();
  const server = createServer((request, response) => {
    const name = request.url!.slice(1);
    asked.add(name);
    const feed = feedOf(name);
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    response.write(feed.sent);
    if (feed.ended) return void response.end();
    feed.readers.add(response);
    response.once('close', () => feed.readers.delete(response));
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;

  return {
    host: `127.0.0.1:${port}`,
    urlOf: (name: string) => `http://127.0.0.1:${port}/${name}`,
    /** Whether a request for it has come. */
    wasAsked: (name: string) => asked.has(name),
    /** One record a line. */
    send(name: string, records: readonly object[]): void {
      const text = records.map((record) => `${JSON.stringify(record)}\n`).join('');
      const feed = feedOf(name);
      feed.sent += text;
      for (const reader of feed.readers) reader.write(text);
    },
    end(name: string): void {
      const feed = feedOf(name);
      feed.ended = true;
      for (const reader of feed.readers) reader.end();
    },
    close(): void {
      server.close();
      server.closeAllConnections();
    },
  };
}
