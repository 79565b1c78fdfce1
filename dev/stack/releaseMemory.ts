import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { isMainThread } from 'node:worker_threads';

/*
 * Loaded before a process of the stack (`--import`): gives memory back to the system once the process is idle. Loading
 * the modules leaves V8 with room for garbage that an idle process never needs: 40 MiB in a worker.
 */

type Gc = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;

const checkMs = 5_000;
/** A collection takes about 100 ms, so it has to be worth that. */
const spareBytesMin = 8 * 1024 ** 2;
const idleUtilizationMax = 0.02;

if (isMainThread) {
  let before = performance.eventLoopUtilization();
  let gc: Gc | undefined;
  setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    const { heapTotal, heapUsed } = process.memoryUsage();
    if (utilization > idleUtilizationMax || heapTotal - heapUsed < spareBytesMin) return;
    gc ??= exposedGc();
    gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }, checkMs).unref();
}

function exposedGc(): Gc {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Gc;
}
