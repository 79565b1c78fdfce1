import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hasExited, stopChild } from './child.ts';
import type { Home } from './home.ts';
import { forgetProcess, rememberProcess } from './runRecords.ts';
import type { Service, ServiceName } from './service.ts';

export interface Supervisor {
  /** Starts a service and resolves once it is ready; from then on it is restarted whenever it dies. */
  start(service: Service): Promise<void>;
  /** Stops a service gracefully and starts it again. */
  restart(name: ServiceName): Promise<void>;
  /** Stops everything gracefully, the last started first; those of one kind together. */
  stop(): Promise<void>;
  /** Kills everything at once. */
  kill(): void;
  processes(): { name: ServiceName; pid: number; metricsUrl?: string }[];
}

interface Watched {
  service: Service;
  child: ChildProcess;
  /** How often it has died lately. */
  deaths: number;
  readyAt: number;
  /** Set before the supervisor stops it, so that its end does not count as a crash. */
  expected: boolean;
  /** While it is being started again. */
  reviving?: Promise<void> | undefined;
}

/**
 * Keeps the processes of one home alive. A service goes from started to ready; one that dies by itself is started
 * again at once, then after a growing delay, until it is ready again or everything is stopped. `onChange` is
 * called whenever the list of processes is another.
 */
export function createSupervisor(home: Home, say: (line: string) => void, onChange: () => void): Supervisor {
  const watched = new Map<ServiceName, Watched>();
  /** Where a process says that it is measured. */
  const metricsUrls = new WeakMap<ChildProcess, string>();
  let stopping = false;
  let stopped: Promise<void> | undefined;

  function launch(service: Service): ChildProcess {
    const log = openLog(home, service.name);
    const child = service.spawn(log);
    closeSync(log);
    // Without a pid it could not be started at all; the error event says why.
    child.on('error', (error) => say(`${service.name}: ${error.message}`));
    child.on('message', ({ warning, metricsPort }: { warning?: string; metricsPort?: number }) => {
      if (metricsPort) metricsUrls.set(child, `http://127.0.0.1:${metricsPort}/metrics`);
      if (warning) say(`${service.name}: ${warning}`);
    });
    if (child.pid !== undefined) rememberProcess(home.run, service.name, child.pid);
    return child;
  }

  function watch(entry: Watched): void {
    const { service, child } = entry;
    const onExit = () => {
      forgetProcess(home.run, service.name);
      if (stopping || entry.expected) return;
      if (performance.now() - entry.readyAt > calmMs) entry.deaths = 0;
      say(`${service.name} ended (${child.signalCode ?? child.exitCode}); starting it again.`);
      void revive(entry);
    };
    if (hasExited(child)) onExit();
    else child.once('exit', onExit);
  }

  function revive(entry: Watched): Promise<void> {
    entry.reviving ??= reviveUntilReady(entry).then(() => {
      entry.reviving = undefined;
      if (!stopping) watch(entry);
    });
    return entry.reviving;
  }

  async function reviveUntilReady(entry: Watched): Promise<void> {
    const { service } = entry;
    while (!stopping) {
      const delayMs = delaysMs[Math.min(entry.deaths++, delaysMs.length - 1)]!;
      if (delayMs > 0) {
        onChange();
        await pause(delayMs);
        if (stopping) return;
      }
      const child = launch(service);
      entry.child = child;
      onChange();
      try {
        await service.ready(child);
      } catch (error) {
        if (stopping) return;
        say(`${(error as Error).message}; trying again.`);
        await stopChild(child, 'SIGKILL', 0);
        continue;
      }
      entry.readyAt = performance.now();
      say(`${service.name} is back.`);
      onChange();
      return;
    }
  }

  async function stopAll(): Promise<void> {
    const kinds = [...new Set([...watched.keys()].map(kindOf))].reverse();
    for (const kind of kinds) {
      const together = [...watched.values()].filter(({ service }) => kindOf(service.name) === kind);
      await Promise.all(
        together.map(({ service, child }) => stopChild(child, service.stopSignal, service.graceMs)),
      );
      for (const { service } of together) forgetProcess(home.run, service.name);
    }
  }

  return {
    async start(service) {
      if (stopping) throw new Error(`${service.name} is not started, because everything is being stopped.`);
      const child = launch(service);
      const entry: Watched = { service, child, deaths: 0, readyAt: 0, expected: false };
      watched.set(service.name, entry);
      try {
        await service.ready(child);
      } catch (error) {
        throw new Error(`${(error as Error).message}. ${lastLine(home, service.name)}`);
      }
      entry.readyAt = performance.now();
      watch(entry);
      onChange();
    },
    async restart(name) {
      const entry = watched.get(name);
      if (!entry || stopping) return;
      await entry.reviving;
      entry.expected = true;
      await stopChild(entry.child, entry.service.stopSignal, entry.service.graceMs);
      entry.expected = false;
      entry.deaths = 0;
      await revive(entry);
    },
    stop() {
      stopping = true;
      // Asked twice, nothing is signalled twice: a second SIGTERM would cut short the drain that the first began.
      stopped ??= stopAll();
      return stopped;
    },
    kill() {
      stopping = true;
      for (const { service, child } of watched.values()) {
        // PostgreSQL’s children end with it either way; SIGQUIT spares the next start some waiting for them.
        if (!hasExited(child)) child.kill(service.name === 'postgres' ? 'SIGQUIT' : 'SIGKILL');
      }
    },
    processes: () =>
      [...watched.values()].flatMap(({ service: { name }, child }) => {
        if (child.pid === undefined || hasExited(child)) return [];
        const metricsUrl = metricsUrls.get(child);
        return [{ name, pid: child.pid, ...(metricsUrl && { metricsUrl }) }];
      }),
  };
}

/** A service that was ready for this long starts with a clean record. */
const calmMs = 30_000;
const delaysMs = [0, 250, 500, 1_000, 2_000, 5_000, 10_000];
/** How far back to look for the line that explains an end. */
const logLinesMax = 40;
const logBytesMax = 10 * 1024 * 1024;

function kindOf(name: ServiceName): string {
  return name.replace(/-\d+$/, '');
}

/** Appends; a log that has grown large makes room, and the one before it is kept. */
function openLog(home: Home, name: string): number {
  const file = logFile(home, name);
  if (existsSync(file) && statSync(file).size > logBytesMax) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

function logFile(home: Home, name: string): string {
  return join(home.logs, `${name}.log`);
}

/** The newest line that speaks of an error, else the newest. */
function lastLine(home: Home, name: string): string {
  const file = logFile(home, name);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n').slice(-logLinesMax);
  const line = lines.findLast((text) => /error|fatal/i.test(text)) ?? lines.at(-1);
  return line ? `${file} says: ${line.trim()}` : `${file} is empty.`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
