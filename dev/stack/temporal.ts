import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { untilReady } from './child.ts';
import type { Home } from './home.ts';

export interface Temporal {
  address: string;
  uiUrl: string;
  spawn(logFd: number): ChildProcess;
  ready(child: ChildProcess): Promise<void>;
}

/**
 * The Temporal development server, for one home: on 127.0.0.1 alone, its state in a SQLite file there, its Web UI on
 * `uiPort`. Why it is tuned as it is: docs/embedded.md.
 */
export function prepareTemporal(
  home: Home,
  binary: string,
  port: number,
  uiPort: number,
  env: Readonly<Record<string, string | undefined>>,
): Temporal {
  const uiUrl = `http://127.0.0.1:${uiPort}`;
  const args = [
    'server',
    'start-dev',
    ...['--ip', '127.0.0.1', '--port', String(port), '--ui-port', String(uiPort)],
    ...['--db-filename', join(home.temporal, 'temporal.db')],
    ...pragmas.flatMap((pragma) => ['--sqlite-pragma', pragma]),
    ...dynamicConfig.flatMap((value) => ['--dynamic-config-value', value]),
    ...searchAttributes.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
    ...['--log-level', 'warn', '--color', 'never'],
  ];
  return {
    address: `127.0.0.1:${port}`,
    uiUrl,
    spawn(logFd) {
      return spawn(binary, args, {
        cwd: home.temporal,
        env,
        stdio: ['ignore', logFd, logFd],
        detached: true,
      });
    },
    ready: (child) => untilReady(child, 'temporal', readyMs, () => knowsSearchAttributes(uiUrl)),
  };
}

export const searchAttributes = [
  'WaybillTenant',
  'WaybillPrincipal',
  'WaybillPipeline',
  'WaybillState',
] as const;

// A write-ahead log needs a quarter of the flushes of the rollback journal. FULL flushes at each commit, so that
// what the server acknowledged survives a power loss.
const pragmas = ['journal_mode=WAL', 'synchronous=FULL'];

/** Each key was looked up in server 1.32.0; docs/embedded.md gives the figures. */
export const dynamicConfig = [
  // Each shard reads its queue of transfers at most 20 times a second by default, and the development server has one
  // shard: four activities in a row would take 440 ms. With this they take 86 ms.
  'history.transferProcessorMaxPollRPS=2000',
  // Fairness between tenants needs the new matcher. It is the default from server 1.31; older ones have it off.
  'matching.useNewMatcher=true',
  // Off by default. Without it the server accepts a fairness key (the tenant) and ignores it.
  'matching.enableFairness=true',
  // The server writes through one connection to SQLite. By default 512 tasks of each kind may wait for it at once, and
  // each gives up after 3 s: with 100 schedules due at once most of the work was work done again.
  'history.transferProcessorSchedulerWorkerCount=8',
  'history.timerProcessorSchedulerWorkerCount=4',
  'history.visibilityProcessorSchedulerWorkerCount=2',
  // The default of 30 is more than two processors can start. The others wait their turn in the schedules.
  'worker.schedulerNamespaceStartWorkflowRPS=10',
];

const readyMs = 180_000;

/** The Web UI passes API calls to the server, so one question asks both. */
async function knowsSearchAttributes(uiUrl: string): Promise<boolean> {
  try {
    const response = await fetch(`${uiUrl}/api/v1/namespaces/default/search-attributes`, {
      signal: AbortSignal.timeout(1000),
    });
    const { customAttributes } = (await response.json()) as { customAttributes?: Record<string, unknown> };
    return searchAttributes.every((name) => customAttributes?.[name] !== undefined);
  } catch {
    return false;
  }
}
