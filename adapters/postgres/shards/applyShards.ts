import type { ClientBase } from 'pg';
import { connectors } from '../../../connectors/index.ts';
import { type Shard, shardsOf } from '../../../domain/connectors/lanes.ts';
import type { SinkChange } from '../../../domain/connectors/sinkKind.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { clientAt } from '../address.ts';
import { connectError, readShardUrl, type ShardCredentials, shardError } from './openShards.ts';
import { prepareShardSchema, readPlace, readShards, recordPlace, recordShards } from './shardSchema.ts';

/** Has one sink prepared on a connection, in one transaction, with what `prepare` does before and `complete` after it. */
export type ApplySink = (client: ClientBase, steps: SinkSteps) => Promise<void>;

export interface SinkSteps {
  prepare?(): Promise<void>;
  complete?(): Promise<void>;
}

/**
 * Prepares the table in each shard, then records in the main database over which shards it is split. Nothing is changed where one of them
 * does not fit. After a crash in between, applying again completes it. Throws `SinkIncompatible` and `SinkUnavailable`.
 */
export async function applyShards(
  main: ClientBase,
  sink: SinkManifest,
  credentials: ShardCredentials,
  applySink: ApplySink,
): Promise<void> {
  const names = sink.shards!;
  const conflicts = (await planShards(main, sink, credentials)).filter(({ kind }) => kind === 'conflict');
  if (conflicts.length > 0) throw incompatible(sink, conflicts);
  for (const shard of shardsOf(names))
    await atShard(credentials, shard, (client) =>
      applySink(client, {
        prepare: () => prepareShardSchema(client),
        async complete() {
          await recordPlace(client, sink.table, shard, names.length);
          // Another shard may be the same database.
          const wrong = placeConflict(shard, names.length, await readPlace(client, sink.table), true);
          if (wrong) throw incompatible(sink, [wrong]);
        },
      }),
    );
  await recordShards(main, sink.table, names);
}

/** What `applyShards` would do, in the main database and in each shard. Changes nothing. Throws `SinkUnavailable`. */
export async function planShards(
  main: ClientBase,
  sink: SinkManifest,
  credentials: ShardCredentials,
): Promise<SinkChange[]> {
  const names = sink.shards!;
  const { recorded, hasTable } = await readShards(main, sink.table);
  const moved = splitConflict(sink, recorded, hasTable);
  if (moved) return [moved];
  const all: SinkChange[] = [];
  for (const shard of shardsOf(names))
    await atShard(credentials, shard, async (client) => {
      const wrong = placeConflict(
        shard,
        names.length,
        await readPlace(client, sink.table),
        recorded !== undefined,
      );
      const changes = wrong ? [wrong] : await connectors.sink(sink.kind).writer!.plan!(client, sink);
      for (const { message, ...change } of changes)
        all.push({ ...change, message: `shard ${shard.name}: ${message}` });
    });
  return all;
}

/** Why a sink cannot have these shards, or none: the rows that are there would not be found. */
export function splitConflict(
  { table, shards }: SinkManifest,
  recorded: readonly string[] | undefined,
  isInMain: boolean,
): SinkChange | undefined {
  if (recorded && recorded.join() !== shards?.join())
    return conflict(
      `the rows of ${table} are split over the shards ${recorded.join(', ')}, in this order. Restore them in the sink, or name another table and run all data again`,
    );
  if (shards && !recorded && isInMain)
    return conflict(
      `the rows of ${table} are in Waybill’s own database. Leave shards out, or name another table and run all data again`,
    );
  return undefined;
}

function placeConflict(
  { name, place }: Shard,
  shards: number,
  { hasTable, place: found }: Awaited<ReturnType<typeof readPlace>>,
  isRecorded: boolean,
): SinkChange | undefined {
  const credential = `Check the credential ${name}.migrator`;
  if (!found && hasTable)
    return conflict(
      `its database has a table of that name that is no part of this one. ${credential}, or name another table`,
    );
  if (!found)
    return isRecorded
      ? conflict(`its database has lost its part of the table. ${credential}, or restore the database`)
      : undefined;
  if (found.shard === name && found.place === place && found.shards === shards) return undefined;
  return conflict(
    `its database is shard ${found.shard}, number ${found.place + 1} of ${found.shards}. ${credential}, or restore the shards in the sink`,
  );
}

function conflict(message: string): SinkChange {
  return { kind: 'conflict', message };
}

function incompatible({ table }: SinkManifest, conflicts: readonly SinkChange[]): WaybillError {
  const detail = `table ${table}: ${conflicts.map(({ message }) => message).join('; ')}`;
  return new WaybillError('SinkIncompatible', { detail });
}

/** As the migrator. Its credential has a name of its own: workers need not have it. */
async function atShard<T>(
  credentials: ShardCredentials,
  { name }: Shard,
  work: (client: ClientBase) => Promise<T>,
): Promise<T> {
  const url = await readShardUrl(credentials, name, `${name}.migrator`);
  const client = clientAt(url, { application_name: 'waybill-shards', connectionTimeoutMillis: 10_000 });
  try {
    await client.connect().catch((error) => {
      throw connectError(name, error);
    });
    return await work(client);
  } catch (error) {
    throw shardError(name, error);
  } finally {
    await client.end().catch(() => {});
  }
}
