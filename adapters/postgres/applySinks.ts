import { setTimeout as pause } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { connectors } from '../../connectors/index.ts';
import type { SinkChange } from '../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Manifest, SinkManifest } from '../../domain/pipelines/manifest.ts';
import { clientAt, type DatabaseAddress } from './address.ts';
import { fromSink } from './failure.ts';

/**
 * Prepares what each pipeline writes to, one transaction a sink; run as the migrator, whenever definitions change.
 * Repeating it changes nothing. Throws `SinkIncompatible` (its detail says what differs) and `DatabaseUnavailable`.
 * @param onIncompatible is told of a sink that does not fit, instead of the error; the others are prepared
 */
export async function applySinks(
  migrator: DatabaseAddress,
  manifests: readonly Manifest[],
  onIncompatible?: (manifest: Manifest, error: WaybillError) => void,
): Promise<void> {
  const client = clientAt(migrator, { application_name: 'waybill-sinks' });
  try {
    await client.connect();
    for (const manifest of manifests) {
      if (!connectors.sink(manifest.sink.kind).writer) continue;
      try {
        await applySink(client, manifest.sink);
      } catch (error) {
        const failure = fromSink(error);
        if (failure.code !== 'SinkIncompatible' || !onIncompatible) throw failure;
        onIncompatible(manifest, failure);
      }
    }
  } catch (error) {
    throw fromSink(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/** What `applySinks` would do to the sink of each pipeline. Changes nothing. Throws `DatabaseUnavailable`. */
export async function planSinks(
  database: DatabaseAddress,
  manifests: readonly Manifest[],
): Promise<{ pipeline: string; table: string; changes: SinkChange[] }[]> {
  const client = clientAt(database, { application_name: 'waybill-plan' });
  try {
    await client.connect();
    const plans = [];
    for (const { id, sink } of manifests) {
      const changes = (await connectors.sink(sink.kind).writer?.plan?.(client, sink)) ?? [];
      plans.push({ pipeline: id, table: sink.table, changes });
    }
    return plans;
  } catch (error) {
    throw fromSink(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/**
 * A change of a table needs a lock that no reader shares. While it waits for readers that are there, new ones wait behind it: so it gives up
 * after `lockTimeoutMs`, lets them pass, and tries again.
 */
const lockTimeoutMs = 300;
const attemptsMax = 60;
const pauseMs = { least: 200, more: 600 };
const lockNotAvailable = '55P03';

async function applySink(client: ClientBase, sink: SinkManifest): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await prepareOnce(client, sink);
    } catch (error) {
      if ((error as { code?: unknown }).code !== lockNotAvailable) throw error;
      if (attempt === attemptsMax) {
        const detail = `table ${sink.table} is in use by a transaction that does not end. End it, then apply again`;
        throw new WaybillError('DatabaseUnavailable', { detail, cause: error });
      }
    }
    await pause(pauseMs.least + Math.random() * pauseMs.more);
  }
}

async function prepareOnce(client: ClientBase, sink: SinkManifest): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
    await connectors.sink(sink.kind).writer!.prepare(client, sink);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
