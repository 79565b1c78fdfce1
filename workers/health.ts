import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';

/**
 * `/healthz`: the process answers. `/readyz`: its worker runs and it reaches its database. `/metrics`: what it measures, for
 * Prometheus.
 */
export async function startHealth(
  address: { host: string; port: number },
  worker: { isReady(): Promise<boolean>; metrics(): Promise<string> },
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: string) => response.writeHead(status).end(`${body}\n`);
    if (request.url === '/healthz') return answer(200, 'ok');
    if (request.url === '/metrics') {
      const text = await worker.metrics().catch(() => undefined);
      if (text === undefined) return answer(503, 'not measured');
      return response.writeHead(200, { 'content-type': Registry.PROMETHEUS_CONTENT_TYPE }).end(text);
    }
    if (request.url !== '/readyz') return answer(404, 'not found');
    const ready = await worker.isReady().catch(() => false);
    return ready ? answer(200, 'ready') : answer(503, 'not ready');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}
