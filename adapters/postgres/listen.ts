import type { Client } from 'pg';
import { clientAt, type DatabaseAddress, lifetimeMaxS } from './address.ts';

/**
 * One connection that listens to notifications for the whole process, and comes back by itself when it breaks.
 * A notification may be lost while it is away, so a listener must also poll now and then;
 * `onNotify` is called once after each reconnection for that reason.
 */
export function listen(
  address: DatabaseAddress,
  channel: string,
  onNotify: (payload: string | undefined) => void,
  lifetimeS = lifetimeMaxS,
): { close(): Promise<void> } {
  let closed = false;
  let client: Client | undefined;
  let wake: (() => void) | undefined;

  async function session(): Promise<void> {
    client = clientAt(address, { connectionTimeoutMillis: 5_000, keepAlive: true });
    const ended = new Promise<void>((resolve) => client!.once('end', () => resolve()));
    client.on('notification', (message) => onNotify(message.payload));
    // A client that is ended while it connects never settles its `connect`.
    await Promise.race([client.connect(), ended]);
    await client.query(`LISTEN ${client.escapeIdentifier(channel)}`);
    onNotify(undefined);
    const renewal = setTimeout(() => void client?.end().catch(() => {}), lifetimeS * 1000);
    await ended;
    clearTimeout(renewal);
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
