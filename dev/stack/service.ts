import type { ChildProcess } from 'node:child_process';

export type ServiceName = 'postgres' | 'temporal' | 'idp' | 'api' | `worker-${number}`;

/** One process of the stack, as the supervisor starts, watches and stops it. */
export interface Service {
  name: ServiceName;
  /** Starts the process; its output goes to the file descriptor. */
  spawn(logFd: number): ChildProcess;
  /** Resolves once it serves; throws where it will not. */
  ready(child: ChildProcess): Promise<void>;
  /** Asks it to finish what it has and to end. */
  stopSignal: NodeJS.Signals;
  /** After the stop signal, how long it may take before it is killed. */
  graceMs: number;
}
