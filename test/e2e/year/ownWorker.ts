import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportJWK } from 'jose';
import type { Dependencies } from '../../../activities/dependencies.ts';
import type { Revocations } from '../../../domain/ports/revocations.ts';
import { startWorker } from '../../../workers/worker.ts';
import type { Api } from '../../api/startApi.ts';

/** A worker of that API, as `workers/main.ts` starts one, but in this process, since its clock is put forward too. */
export async function startOwnWorker(
  api: Api,
  settings: { project: string; temporalAddress: string; taskQueue: string },
): Promise<{ revocations: Revocations; stop(): Promise<void> }> {
  const keyFile = join(api.objectsFolder, '..', 'workload.json');
  await writeFile(keyFile, JSON.stringify(await exportJWK(api.workload.privateKey)));
  const stopping = new AbortController();
  const ready = Promise.withResolvers<void>();
  let dependencies: Dependencies | undefined;
  const ended = startWorker(
    {
      ...settings,
      database: api.postgres.workerUrl,
      relayDatabase: api.postgres.relayUrl,
      objects: { WAYBILL_OBJECTS: api.objectsFolder, WAYBILL_OBJECTS_REGION: '' },
      stageCache: join(api.objectsFolder, '..', 'stages'),
      jwksUrl: new URL('/.well-known/jwks.json', api.url),
      keyRoots: `${api.keysFolder}.roots`,
      issuer: 'urn:waybill:test',
      namespace: 'default',
      health: { host: '127.0.0.1', port: 0 },
      fileRoots: [api.roots],
      egressAllow: [],
      callbackAllow: [],
      webhookKeys: api.webhookKeys,
      identity: 'year',
      tokenUrl: new URL('/token', api.url),
      workload: { id: 'worker', keyFile },
    },
    { signal: stopping.signal, onReady: () => ready.resolve() },
    (known) => {
      dependencies = known;
      return known;
    },
  );
  await Promise.race([ready.promise, ended]);
  return {
    revocations: dependencies!.revocations,
    async stop() {
      stopping.abort();
      await ended;
    },
  };
}
