import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import type { DevStack } from '../../test/support/devStack.ts';

/** As a superuser, to a database that may be on its way back. */
export async function connectPatiently(stack: DevStack): Promise<pg.Client> {
  for (const until = performance.now() + 30_000; ; await pause(100)) {
    const client = new pg.Client({
      connectionString: stack.info().databaseUrl,
      connectionTimeoutMillis: 5_000,
    });
    // It may be taken away again.
    client.on('error', () => {});
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (performance.now() > until) throw error;
    }
  }
}
