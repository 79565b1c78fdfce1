import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** `/healthz`: the process answers. `/readyz`: its worker runs and it reaches its database. Loopback only. */
export async function startHealth(
  port: number,
  isReady: () => Promise<boolean>,
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: string) => response.writeHead(status).end(`${body}\n`);
    if (request.url === '/healthz') return answer(200, 'ok');
    if (request.url !== '/readyz') return answer(404, 'not found');
    const ready = await isReady().catch(() => false);
    return ready ? answer(200, 'ready') : answer(503, 'not ready');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => void server.close(() => resolve())),
  };
}
