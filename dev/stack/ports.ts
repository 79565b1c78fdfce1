import { createServer, type Server } from 'node:net';

/**
 * A port on 127.0.0.1 for each name: the preferred one where it is free, otherwise (and for 0) any free one. All are
 * held until each has one, so that none is given twice.
 */
export async function choosePorts<Name extends string>(
  preferred: Readonly<Record<Name, number>>,
): Promise<Record<Name, number>> {
  const servers: Server[] = [];
  const chosen: Partial<Record<Name, number>> = {};
  try {
    for (const [name, port] of Object.entries(preferred) as [Name, number][]) {
      const server = (await hold(port)) ?? (await hold(0))!;
      servers.push(server);
      chosen[name] = portOf(server);
    }
    return chosen as Record<Name, number>;
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  }
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
