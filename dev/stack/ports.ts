import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/**
 * A port on 127.0.0.1 for each name: the preferred one where it is free, otherwise (and for 0) any free one. All are
 * held until each has one, so that none is given twice. Its process takes it only later, and once more after a crash, so it is
 * none of those that the system hands out by itself in the meantime.
 */
export async function choosePorts<Name extends string>(
  preferred: Readonly<Record<Name, number>>,
): Promise<Record<Name, number>> {
  const servers: Server[] = [];
  const chosen: Partial<Record<Name, number>> = {};
  try {
    for (const [name, port] of Object.entries(preferred) as [Name, number][]) {
      const server = (port !== 0 && (await hold(port))) || (await holdAny());
      servers.push(server);
      chosen[name] = portOf(server);
    }
    return chosen as Record<Name, number>;
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
}

/** Below what Linux (from 32768) and other systems (from 49152) give to connections and to servers that ask for any port. */
const lasting = { from: 10_000, to: 32_768 };
const triesMax = 1_000;

async function holdAny(): Promise<Server> {
  for (let tries = 0; tries < triesMax; tries++) {
    const server = await hold(randomInt(lasting.from, lasting.to));
    if (server) return server;
  }
  return (await hold(0))!;
}

/** Whether the port could be had just now. */
export async function isFree(port: number): Promise<boolean> {
  const server = await hold(port);
  if (!server) return false;
  await new Promise((resolve) => server.close(resolve));
  return true;
}

function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined);
      else reject(error);
    });
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => resolve(server));
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not a TCP server');
  return address.port;
}
