import type { ClientBase } from 'pg';
import { connectors } from '../../connectors/index.ts';
import type { Manifest, SinkManifest } from '../../domain/pipelines/manifest.ts';
import { clientAt, type DatabaseAddress } from './address.ts';
import { fromSink } from './failure.ts';

/**
 * Prepares what each pipeline writes to, one transaction a sink; run as the migrator, whenever definitions change.
 * Repeating it changes nothing. Throws `SinkIncompatible` (its detail says what differs) and `DatabaseUnavailable`.
 */
export async function applySinks(migrator: DatabaseAddress, manifests: readonly Manifest[]): Promise<void> {
  const client = clientAt(migrator, { application_name: 'waybill-sinks' });
  try {
    await client.connect();
    for (const { sink } of manifests) await applySink(client, sink);
  } catch (error) {
    throw fromSink(error);
  } finally {
    await client.end().catch(() => {});
  }
}

async function applySink(client: ClientBase, sink: SinkManifest): Promise<void> {
  await client.query('BEGIN');
  try {
    await connectors.sink(sink.kind).writer.prepare(client, sink);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}
