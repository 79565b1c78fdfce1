import { fileURLToPath } from 'node:url';
import { Client, type ClientInterceptors, Connection } from '@temporalio/client';
import pg from 'pg';
import { type DevStack, startDevStack } from './devStack.ts';
import { serveHeldFeed } from './heldFeed.ts';

export interface HeldStack extends DevStack {
  /** Where the pipeline `feed` reads. */
  feed: Awaited<ReturnType<typeof serveHeldFeed>>;
  /** As a superuser, who sees all tenants. */
  rows<T = Record<string, unknown>>(text: string, values?: unknown[]): Promise<T[]>;
  temporal: Client;
}

/** The embedded stack with the pipelines of the tests, a source that a test holds in its hands, and a way in behind it. */
export async function startHeldStack(
  options: { interceptors?: ClientInterceptors; workers?: number } = {},
): Promise<HeldStack> {
  const feed = await serveHeldFeed();
  const stack = await startDevStack({
    project: fileURLToPath(new URL('./project', import.meta.url)),
    env: { WAYBILL_EGRESS_ALLOW: feed.host },
    ...(options.workers !== undefined && { workers: options.workers }),
  });
  const database = new pg.Client({ connectionString: stack.info().databaseUrl });
  await database.connect();
  const connection = await Connection.connect({ address: stack.info().temporalAddress });
  return {
    ...stack,
    feed,
    rows: async <T>(text: string, values: unknown[] = []) => (await database.query(text, values)).rows as T[],
    temporal: new Client({ connection, ...(options.interceptors && { interceptors: options.interceptors }) }),
    async stop() {
      await connection.close();
      await database.end();
      await stack.stop();
      feed.close();
    },
  };
}
