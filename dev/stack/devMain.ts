import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { type CliContext, CliError } from '../../cli/context.ts';
import { searchFromEnvironment } from '../binaries/temporalBinary.ts';
import './releaseMemory.ts';
import { runProgram } from '../program.ts';
import { readStackSettings } from './stackSettings.ts';
import { type RunningStack, startStack } from './startStack.ts';
import { loadWhenMended, watchProject } from './watchProject.ts';

/** What keeps the processes small while nothing runs. */
const memoryEnv = {
  // Else esbuild keeps a thread and a process for the next bundle: 15 MiB each time a project is loaded.
  ESBUILD_WORKER_THREADS: '0',
  // By default glibc gives each thread an arena of its own, and keeps more and more of what was freed: 35 MiB in a worker.
  MALLOC_ARENA_MAX: '2',
  MALLOC_TRIM_THRESHOLD_: '131072',
  // V8 compiles (Cedar’s WebAssembly most of all) in pieces of 32 KiB, which glibc gives back only if each is a mapping:
  // 15 to 25 MiB in a process.
  MALLOC_MMAP_THRESHOLD_: '32768',
  // Temporal’s heap: with the default of 100 it keeps as much garbage as it has live data.
  GOGC: '50',
};

const sameMomentMs = 500;
const starterPollMs = 250;

/** `waybill dev [folder] [--watch]`: the whole of Waybill on this machine, until Ctrl-C. */
await runProgram(process.env, ({ positionals: [folder = '.'], watch, context }) =>
  dev(folder, watch, context),
);

async function dev(folder: string, watch: boolean, context: CliContext): Promise<void> {
  const { env } = context;
  if (env.NODE_ENV === 'production') {
    throw new CliError(
      'waybill dev is for development: its people are invented. Unset NODE_ENV=production.',
      'usage',
    );
  }
  const started = performance.now();
  const asked = new AbortController();
  let stack: RunningStack | undefined;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // npm passes on what the terminal has sent to us already, so twice within a moment is once.
      if (!asked.signal.aborted) {
        say(`Stopping (${signal}). Once more ends everything at once.`);
        asked.abort(new Error('The start was interrupted.'));
        askedAt = performance.now();
      } else if (performance.now() - askedAt > sameMomentMs) {
        // What still runs is killed on the way out.
        process.exit(1);
      }
    });
  }
  let askedAt = 0;
  whenStarterIsGone(env, () => asked.abort(new Error('The process that started this has ended.')));
  try {
    stack = await startStack({
      settings: readStackSettings(context),
      project: folder,
      baseEnv: {
        ...memoryEnv,
        ...Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('WAYBILL_'))),
      },
      temporal: searchFromEnvironment(env),
      ...(watch && {
        loadProject: (load) => loadWhenMended(folder, load, say, asked.signal),
      }),
      signal: asked.signal,
      say,
    });
  } catch (error) {
    if (asked.signal.aborted) return say('Stopped before it was ready.');
    throw error;
  }
  say(banner(stack, folder, (performance.now() - started) / 1000));
  const watcher = watch ? watchProject(folder, stack, say) : undefined;
  if (!asked.signal.aborted) {
    await new Promise((resolve) => asked.signal.addEventListener('abort', resolve, { once: true }));
  }
  watcher?.close();
  await stack.stop();
  say('Stopped.');
}

/**
 * npm (or our own `bin.js`) cannot pass on that it is killed, and then nothing would ever end this process. Started by
 * hand or by a service manager, it has no such parent.
 */
function whenStarterIsGone(env: CliContext['env'], stop: () => void): void {
  process.once('disconnect', stop);
  process.channel?.unref();
  if (env.npm_lifecycle_event === undefined) return;
  const starter = process.ppid;
  setInterval(() => {
    if (process.ppid !== starter) stop();
  }, starterPollMs).unref();
}

function banner(stack: RunningStack, folder: string, seconds: number): string {
  const home = relative('', stack.home.path) || '.';
  return `
Waybill is ready after ${seconds.toFixed(1)} s.

  API          ${stack.apiUrl}   (reference: ${stack.apiUrl}/docs)
  Temporal     ${stack.temporalUiUrl}
  Identity     ${stack.issuerUrl}   (people for development only)
  PostgreSQL   127.0.0.1:${stack.databasePort}, database waybill   (URL: ${home}/dev.json)
  Logs         ${join(home, 'logs')}

  Next         ${next(folder).join('\n               ')}

  Ctrl-C stops everything. What happened stays in ${home}.
`;
}

/** Commands that work just as they stand here. */
function next(folder: string): string[] {
  const data = 'node_modules/vega-datasets/data/birdstrikes.csv';
  if (!existsSync(data) || !existsSync(join(folder, 'pipelines/birdstrikes.ts')))
    return ['npx waybill pipelines --as alice'];
  return ['npx waybill demo', `npx waybill trigger birdstrikes --file ${data} --as alice --wait`];
}

function say(line: string): void {
  console.log(line);
}
