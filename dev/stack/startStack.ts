import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { readDevJson } from '../../cli/embedded/devJson.ts';
import { takeLock } from '../../cli/lock.ts';
import { writeAtomically } from '../../cli/writeAtomically.ts';
import { findTemporal, type TemporalSearch } from '../binaries/temporalBinary.ts';
import { type Home, openHome, removeDevJson, writeDevJson } from './home.ts';
import { ensureGrantKeys, ensureInstance, makeWorkloadKey } from './identityOfHome.ts';
import { type Postgres, preparePostgres } from './postgres.ts';
import { prepareDatabase } from './prepareDatabase.ts';
import { endLeftovers } from './runRecords.ts';
import { chooseStackPorts } from './stackPorts.ts';
import {
  apiService,
  idpService,
  postgresService,
  type Stack,
  temporalService,
  urlsOf,
  workerEnv,
  workerNames,
  workerServices,
} from './stackServices.ts';
import type { StackSettings } from './stackSettings.ts';
import { createSupervisor, type Supervisor } from './supervise.ts';
import { prepareTemporal } from './temporal.ts';
import { ensureWorkflowBundle } from './workflowBundle.ts';
import { ensureZoneData } from './zoneData.ts';

export interface StackOptions {
  settings: StackSettings;
  project: string;
  baseEnv: Stack['baseEnv'];
  temporal: Pick<TemporalSearch, 'cliPath' | 'searchPath' | 'cache' | 'indexUrl'>;
  /** Wraps the first load of the project, for instance to try again once a broken one is mended. Default: no retry. */
  loadProject?: <T>(load: () => Promise<T>) => Promise<T>;
  /** Aborted when the caller no longer waits for the start. */
  signal: AbortSignal;
  say(line: string): void;
}

export interface RunningStack {
  home: Home;
  apiUrl: string;
  issuerUrl: string;
  temporalUiUrl: string;
  databasePort: number;
  /** The files that the project loaded last. */
  files(): ReadonlySet<string>;
  /** Serves the project as it is by now. */
  reload(): Promise<void>;
  /** Brings only the database to what the project is by now: policies need nothing started again. */
  apply(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts everything, in the order in which the parts need one another: what an earlier start left behind is ended,
 * then PostgreSQL with its migrations and sink tables; Temporal, the identity provider and the workflow bundle at
 * the same time; the API and two workers. Resolves when all serve and `dev.json` is written. Whatever fails, what
 * had been started is stopped again.
 */
export async function startStack(options: StackOptions): Promise<RunningStack> {
  const { settings, say, signal } = options;
  const project = await existingProject(options.project);
  const home = await openHome(settings.WAYBILL_HOME);
  const lock = await takeHome(home, signal);
  let publish = () => {};
  const supervisor = createSupervisor(home, say, () => publish());
  const ended = async () => {
    writeFileSync(stoppingFile(home), '');
    removeDevJson(home);
    await supervisor.stop();
    rmSync(stoppingFile(home), { force: true });
    await lock.release();
  };
  // Whatever the start is waiting for then fails at once.
  const abandon = () => void supervisor.stop();
  signal.addEventListener('abort', abandon, { once: true });
  // However this process ends, it takes the others with it as far as it can.
  process.once('exit', supervisor.kill);
  try {
    removeDevJson(home);
    const leftovers = await endLeftovers(home.run);
    if (leftovers.length > 0) say(`Ended what an earlier start left behind: ${leftovers.join(', ')}.`);
    const ports = await chooseStackPorts(home, settings, say);
    const [grantKeys, workload, instance] = await Promise.all([
      ensureGrantKeys(home),
      makeWorkloadKey(home),
      ensureInstance(home),
    ]);
    const stack: Stack = {
      home,
      settings,
      ports,
      project,
      instance,
      grantKeys,
      workload,
      baseEnv: options.baseEnv,
    };
    const timed = stopwatch(say);
    // Beside PostgreSQL, which leaves a processor free. It never rejects.
    const zoneData = ensureZoneData({ cache: options.temporal.cache, signal, say });

    const postgres = await timed('PostgreSQL', () => startPostgres(stack, supervisor));
    const { loadProject = (load) => load() } = options;
    const load = () => prepareDatabase(stack, postgres, signal, say);
    let files = await timed('Database', () => loadProject(load));
    signal.throwIfAborted();
    const [temporal, bundle] = await settled([
      timed('Temporal', async () => {
        const binary = await findTemporal({ ...options.temporal, signal, say });
        const zoneInfo = options.baseEnv.ZONEINFO || (await zoneData);
        const env = { ...options.baseEnv, ...(zoneInfo && { ZONEINFO: zoneInfo }) };
        const temporal = prepareTemporal(home, binary, ports.temporal, ports.temporalUi, env);
        await supervisor.start(temporalService(temporal));
        return temporal;
      }),
      timed('Workflow bundle', () => ensureWorkflowBundle(home, signal)),
      timed('Identity provider', () => supervisor.start(idpService(stack))),
    ]);
    signal.throwIfAborted();
    writeAtomically(
      join(home.keys, 'worker.json'),
      JSON.stringify(workerEnv(stack, postgres, temporal, bundle)),
    );
    await settled([
      timed('API', () => supervisor.start(apiService(stack, postgres, temporal))),
      timed('Workers', () =>
        settled(workerServices(stack, postgres, temporal, bundle).map(supervisor.start)),
      ),
    ]);
    signal.throwIfAborted();

    const urls = { ...urlsOf(stack), temporalUiUrl: temporal.uiUrl };
    publish = () =>
      writeDevJson(home, {
        ...urls,
        temporalAddress: temporal.address,
        metricsUrl: `http://127.0.0.1:${ports.metrics}/metrics`,
        databaseUrl: postgres.url('postgres', 'waybill'),
        processes: supervisor.processes(),
      });
    publish();
    signal.removeEventListener('abort', abandon);
    return {
      home,
      ...urls,
      databasePort: ports.database,
      files: () => files,
      async apply() {
        files = await load();
      },
      async reload() {
        files = await load();
        for (const name of ['api', ...workerNames(stack)] as const) await supervisor.restart(name);
      },
      async stop() {
        publish = () => {};
        await ended();
      },
    };
  } catch (error) {
    await ended();
    throw error;
  }
}

/** One supervisor a home. Waits for one that is stopping, and fails for one that serves. */
async function takeHome(home: Home, signal: AbortSignal): Promise<{ release(): Promise<void> }> {
  for (const start = performance.now(); ; ) {
    signal.throwIfAborted();
    const lock = await takeLock(join(home.run, 'supervisor.lock'));
    if (lock.held) return lock;
    const stopping = existsSync(stoppingFile(home));
    const patienceMs = stopping ? stoppingMs : noticeMs;
    if (performance.now() - start > patienceMs) {
      const { pid } = lock.by;
      throw new Error(
        stopping || readDevJson(home.devJson)
          ? `${home.path} is served by process ${pid} already. Stop that first, or set WAYBILL_HOME to another folder.`
          : `${home.path} is being started by process ${pid}. Wait until that is ready, or set WAYBILL_HOME to another folder.`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function stoppingFile(home: Home): string {
  return join(home.run, 'stopping');
}

/** As long as all graces together. */
const stoppingMs = 60_000;
/** A supervisor notices within this time that its npm was killed. */
const noticeMs = 1_500;

async function existingProject(folder: string): Promise<string> {
  const path = resolve(folder);
  const pipelines = await stat(join(path, 'pipelines')).catch(() => undefined);
  if (!pipelines?.isDirectory()) throw new Error(`${path} is not a project: it has no folder pipelines.`);
  return path;
}

async function startPostgres({ home, ports }: Stack, supervisor: Supervisor): Promise<Postgres> {
  const postgres = await preparePostgres(home, ports.database);
  await supervisor.start(postgresService(postgres));
  return postgres;
}

function stopwatch(say: (line: string) => void) {
  return async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const value = await work();
    say(`${name} ready (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    return value;
  };
}

/** Like `Promise.all`, but a failure waits for the others, so that nothing starts after everything was stopped. */
async function settled<T extends readonly unknown[]>(
  promises: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
