import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { Runtime } from '@temporalio/worker';

/**
 * Has the native part of Temporal’s SDK count: slots, sticky cache, failed workflow tasks, latencies. Once in a process, before
 * anything of the SDK is used. Resolves with what reads the counts, in the text form of Prometheus.
 */
export async function exposeTemporalMetrics(): Promise<() => Promise<string>> {
  const address = `127.0.0.1:${await freePort()}`;
  Runtime.install({ telemetryOptions: { metrics: { prometheus: { bindAddress: address } } } });
  return async () => (await fetch(`http://${address}/metrics`)).text();
}

/** The SDK does not tell which port it was given, so that it cannot be asked for any. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
