import { setTimeout as pause } from 'node:timers/promises';
import type { ClientBase } from 'pg';
import { connectors } from '../../connectors/index.ts';
import type { SinkChange } from '../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Manifest, SinkManifest } from '../../domain/pipelines/manifest.ts';
import { outputsOf } from '../../domain/pipelines/outputs.ts';
import { clientAt, type DatabaseAddress } from './address.ts';
import { fromSink } from './failure.ts';
import { applyShards, planShards, type SinkSteps, splitConflict } from './shards/applyShards.ts';
import type { ShardCredentials } from './shards/openShards.ts';
import { readShards } from './shards/shardSchema.ts';

/**
 * Prepares what each pipeline writes to, one transaction a sink; run as the migrator, whenever definitions change.
 * Repeating it changes nothing. Throws `SinkIncompatible` (its detail says what differs) and `DatabaseUnavailable`.
 * @param options.onIncompatible is told of a sink that does not fit, or of which a shard does not answer, instead of the error; the others
 *   are prepared
 * @param options.credentials the URLs of shards, for the migrator
 */
export async function applySinks(
  migrator: DatabaseAddress,
  manifests: readonly Manifest[],
  {
    onIncompatible,
    credentials,
  }: {
    onIncompatible?: (manifest: Manifest, error: WaybillError) => void;
    credentials?: ShardCredentials;
  } = {},
): Promise<void> {
  const client = clientAt(migrator, { application_name: 'waybill-sinks' });
  try {
    await client.connect();
    for (const manifest of manifests) {
      if (!connectors.sink(manifest.sink.kind).writer) continue;
      try {
        for (const { sink } of outputsOf(manifest.sink)) {
          if (sink.shards)
            await applyShards(client, sink, credentials, (shard, steps) => applySink(shard, sink, steps));
          else await applySink(client, sink, { prepare: () => checkUnsplit(client, sink) });
        }
      } catch (error) {
        const failure = fromSink(error);
        const isOfSink = failure.code === 'SinkIncompatible' || failure.code === 'SinkUnavailable';
        if (!isOfSink || !onIncompatible) throw failure;
        onIncompatible(manifest, failure);
      }
    }
  } catch (error) {
    throw fromSink(error);
  } finally {
    await client.end().catch(() => {});
  }
}

/** A table that is split stays so. Throws `SinkIncompatible`. */
async function checkUnsplit(client: ClientBase, sink: SinkManifest): Promise<void> {
  const wrong = await planUnsplit(client, sink);
  if (wrong) throw new WaybillError('SinkIncompatible', { detail: wrong.message });
}

async function planUnsplit(client: ClientBase, sink: SinkManifest): Promise<SinkChange | undefined> {
  const { recorded, hasTable } = await readShards(client, sink.table);
  return splitConflict(sink, recorded, hasTable);
}

/**
 * What `applySinks` would do to each table of each pipeline. Changes nothing. Throws `DatabaseUnavailable`, and `SinkUnavailable` where a
 * shard does not answer.
 */
export async function planSinks(
  database: DatabaseAddress,
  manifests: readonly Manifest[],
  credentials?: ShardCredentials,
): Promise<{ pipeline: string; table: string; changes: SinkChange[] }[]> {
  const client = clientAt(database, { application_name: 'waybill-plan' });
  try {
    await client.connect();
    const plans = [];
    for (const { id, sink } of manifests) {
      for (const output of outputsOf(sink)) {
        const changes = await planSink(client, output.sink, credentials);
        plans.push({ pipeline: id, table: output.sink.table, changes });
      }
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

async function planSink(
  client: ClientBase,
  sink: SinkManifest,
  credentials: ShardCredentials,
): Promise<SinkChange[]> {
  const { plan } = connectors.sink(sink.kind).writer ?? {};
  if (!plan) return [];
  if (sink.shards) return planShards(client, sink, credentials);
  const wrong = await planUnsplit(client, sink);
  return wrong ? [wrong] : plan(client, sink);
}

async function applySink(client: ClientBase, sink: SinkManifest, steps: SinkSteps): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await prepareOnce(client, sink, steps);
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

async function prepareOnce(
  client: ClientBase,
  sink: SinkManifest,
  { prepare, complete }: SinkSteps,
): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
    await prepare?.();
    await connectors.sink(sink.kind).writer!.prepare(client, sink);
    await complete?.();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
