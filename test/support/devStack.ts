import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { obtainToken } from '../../cli/embedded/obtainToken.ts';

/** What `waybill dev` writes to `<home>/dev.json`. */
export interface DevInfo {
  apiUrl: string;
  issuerUrl: string;
  temporalAddress: string;
  temporalUiUrl: string;
  metricsUrl: string;
  databaseUrl: string;
  processes: { name: string; pid: number; metricsUrl?: string }[];
}

export interface DevStack {
  home: string;
  /** As `dev.json` says now. */
  info(): DevInfo;
  /** `undefined` while the process is being started again. */
  pid(name: string): number | undefined;
  /** A fetch that sends the token of NAME to the API. */
  as(name: string): Promise<(path: string, init?: RequestInit) => Promise<Response>>;
  /** What the supervisor printed. */
  output(): string;
  supervisor: ChildProcess;
  /** Stops everything and removes the home. */
  stop(): Promise<void>;
}

/** Each file is there whole or not at all, because other tests copy from here at the same time. */
async function copyMissing(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) {
    if (name.endsWith(partial) || existsSync(join(to, name))) continue;
    const copy = join(to, `${name}.${process.pid}${partial}`);
    await copyFile(join(from, name), copy);
    await rename(copy, join(to, name));
  }
}

const partial = '.partial';
const root = fileURLToPath(new URL('../..', import.meta.url));
const bundles = join(root, 'node_modules/.cache/waybill-bundles');
const readyMs = 420_000;

/**
 * The whole embedded stack as `npm start` runs it, in a temporary home and on free ports. Resolves when it is ready;
 * the first on a machine may have to build Temporal, which takes minutes.
 */
export async function startDevStack(
  options: {
    project?: string;
    home?: string;
    env?: Record<string, string>;
    watch?: boolean;
    /** Two unless said otherwise; a test that shows nothing of their number needs one. */
    workers?: number;
    onOutput?: (text: string) => void;
  } = {},
): Promise<DevStack> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'waybill-stack-')));
  const file = join(home, 'dev.json');
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('WAYBILL_')),
  );
  // The bundle of the workflows is named by its digest, so that any stack may use the one that another has made.
  await mkdir(bundles, { recursive: true });
  await copyMissing(bundles, join(home, 'bundle'));
  const ports = ['API', 'TEMPORAL', 'TEMPORAL_UI', 'DATABASE', 'ISSUER', 'METRICS'].map((name) => [
    `WAYBILL_${name}_PORT`,
    '0',
  ]);
  await rm(file, { force: true });
  const supervisor = spawn(
    process.execPath,
    [
      join(root, 'cli/bin.js'),
      'dev',
      options.project ?? join(root, 'examples/acme'),
      ...(options.watch ? ['--watch'] : []),
    ],
    {
      cwd: root,
      env: {
        ...env,
        ...Object.fromEntries(ports),
        WAYBILL_HOME: home,
        ...(options.workers !== undefined && { WAYBILL_WORKERS: String(options.workers) }),
        ...options.env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  for (const stream of [supervisor.stdout, supervisor.stderr]) {
    stream!.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      options.onOutput?.(text);
    });
  }

  const info = () => JSON.parse(readFileSync(file, 'utf8')) as DevInfo;
  const stop = async () => {
    if (supervisor.exitCode === null && supervisor.signalCode === null) {
      supervisor.kill('SIGTERM');
      await once(supervisor, 'exit');
    }
    if (!options.home) await rm(home, { recursive: true, force: true });
  };

  const until = performance.now() + readyMs;
  while (!existsSync(file)) {
    if (supervisor.exitCode !== null || performance.now() > until) {
      await stop();
      throw new Error(`the stack did not come up:\n${output}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }

  await copyMissing(join(home, 'bundle'), bundles);

  return {
    home,
    info,
    pid: (name) => info().processes.find((process) => process.name === name)?.pid,
    async as(name) {
      const { token } = await obtainToken(info().issuerUrl, name);
      return (path, init = {}) =>
        fetch(new URL(path, info().apiUrl), {
          ...init,
          headers: { authorization: `Bearer ${token}`, ...(init.headers as Record<string, string>) },
        });
    },
    output: () => output,
    supervisor,
    stop,
  };
}
