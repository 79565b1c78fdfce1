import { fileURLToPath } from 'node:url';
import { type NativeConnection, Worker } from '@temporalio/worker';
import { type AuditEvent, allowAll, createVerifier, identityPlugin } from 'waybill/temporal';
import { activities } from './activities.ts';
import { taskQueue } from './api.ts';

export function createWorker(options: {
  connection: NativeConnection;
  issuer: string;
  keys: Parameters<typeof createVerifier>[0]['keys'];
  audit(event: AuditEvent): Promise<void>;
}): Promise<Worker> {
  const identity = identityPlugin({
    verifier: createVerifier({ issuer: options.issuer, keys: options.keys }),
    authorizer: allowAll,
    audit: { append: options.audit },
  });
  return Worker.create({
    connection: options.connection,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('workflows.ts', import.meta.url)),
    activities,
    plugins: [identity],
  });
}
