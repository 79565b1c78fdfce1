import { fileURLToPath } from 'node:url';
import { NativeConnection, Worker } from '@temporalio/worker';

// A worker of the bare workflow, in a process of its own as Waybill’s workers are. Ends with its parent.
const [address, taskQueue] = process.argv.slice(2);
const connection = await NativeConnection.connect({ address: address! });
const nothing = async () => {};
const worker = await Worker.create({
  connection,
  taskQueue: taskQueue!,
  workflowsPath: fileURLToPath(new URL('bareWorkflow.ts', import.meta.url)),
  activities: { ingest: nothing, validate: nothing, transform: nothing, store: nothing },
});
process.once('disconnect', () => worker.shutdown());
const running = worker.run();
process.send?.({ ready: true });
await running;
await connection.close();
