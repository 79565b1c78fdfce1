import { Client } from 'pg';

/**
 * One connection that listens to notifications for the whole process, and comes back by itself when it breaks.
 * A notification may be lost while it is away, so whoever listens must also look by itself now and then;
 * `onNotify` is called once after each reconnection for that reason.
 */
export function listen(
  connectionString: string,
  channel: string,
  onNotify: (payload: string | undefined) => void,
): { close(): Promise<void> } {
  let closed = false;
  let client: Client | undefined;
  let wake: (() => void) | undefined;

  async function session(): Promise<void> {
    client = new Client({ connectionString, connectionTimeoutMillis: 5_000, keepAlive: true });
    const ended = new Promise<void>((resolve) => client!.once('end', () => resolve()));
    client.on('error', () => {});
    client.on('notification', (message) => onNotify(message.payload));
    // A client that is ended while it connects never settles its `connect`.
    await Promise.race([client.connect(), ended]);
    await client.query(`LISTEN ${client.escapeIdentifier(channel)}`);
    onNotify(undefined);
    await ended;
  }

  const running = (async () => {
    while (!closed) {
      await session().catch(() => client?.end().catch(() => {}));
      if (closed) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 500 + Math.random() * 500);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  })();

  return {
    async close() {
      closed = true;
      wake?.();
      await client?.end().catch(() => {});
      await running;
    },
  };
}
