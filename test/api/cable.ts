import { connect, createServer, type Server, type Socket } from 'node:net';
import { choosePorts } from '../../dev/stack/ports.ts';

/**
 * A TCP cable to a database. Cut, connections break and new ones are refused, as when the server has ended; stalled,
 * nothing passes any more, as when it was stopped.
 */
export async function layCable(target: URL) {
  const sockets = new Set<Socket>();
  let stalled = false;
  let server: Server | undefined;
  const { port } = await choosePorts({ port: 0 });

  async function mend(): Promise<void> {
    stalled = false;
    for (const socket of sockets) socket.resume();
    if (server) return;
    server = createServer((near) => {
      const far = connect(Number(target.port), target.hostname);
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        sockets.add(from);
        from.on('data', (chunk) => void (stalled || to.write(chunk)));
        from.on('close', () => {
          sockets.delete(from);
          to.destroy();
        });
        from.on('error', () => to.destroy());
      }
    });
    await new Promise<void>((resolve) => server!.listen(port, '127.0.0.1', resolve));
  }

  async function cut(): Promise<void> {
    for (const socket of sockets) socket.destroy();
    const closing = server;
    server = undefined;
    if (closing) await new Promise<void>((resolve) => closing.close(() => resolve()));
  }

  await mend();
  const url = Object.assign(new URL(target), { hostname: '127.0.0.1', port: String(port) }).href;
  return {
    url,
    mend,
    cut,
    /** What is sent during that time is lost, so connections that were stalled are of no use afterwards. */
    stall: () => {
      stalled = true;
    },
  };
}
