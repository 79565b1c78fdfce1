import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { collectDefaultMetrics, Registry } from 'prom-client';

/** What a process measures, for Prometheus: memory, event loop and garbage collection of Node, and what is added to it. */
export function createMetrics(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}

/** Tenants that get a label of their own in one process; the others share `other`, so that the series stay bounded. */
const tenantsMax = 100;

/** Gives each of the first tenants its name as a label, and the rest one together. */
export function boundedTenants(): (tenant: string) => string {
  const known = new Set<string>();
  return (tenant) => {
    if (!known.has(tenant) && known.size >= tenantsMax) return 'other';
    known.add(tenant);
    return tenant;
  };
}

/** Serves `GET /metrics` and nothing else. */
export async function serveMetrics(
  registry: Registry,
  address: { host: string; port: number },
): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(async ({ url, method }, response) => {
    if (url !== '/metrics' || method !== 'GET') return void response.writeHead(404).end('not found\n');
    const text = await registry.metrics().catch(() => undefined);
    if (text === undefined) return void response.writeHead(503).end('not measured\n');
    response.writeHead(200, { 'content-type': registry.contentType }).end(text);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, resolve);
  });
  return { port: portOf(server), close: () => closed(server) };
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => void server.close(() => resolve()));
}
