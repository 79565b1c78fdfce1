import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import type { GlobalOptions } from '../connect.ts';
import type { AddCommand, CliContext } from '../context.ts';

/*
 * The commands of the embedded stack. Each is a program in `dev/`, and the CLI imports none of them.
 */

/** `waybill dev [folder] [--watch]`: the whole of Waybill on this machine, until Ctrl-C. */
export const addDev: AddCommand = (program, { env }) => {
  program
    .command('dev')
    .description('serve a project with everything that it needs, until Ctrl-C')
    .argument('[folder]', 'the project', '.')
    .option('--watch', 'load the project again when one of its files changes')
    .action((folder: string, { watch = false }: { watch?: boolean }) =>
      become('dev/stack/devMain.ts', [folder, ...(watch ? ['--watch'] : [])], env),
    );
};

export const addDemo = addProgram(
  'demo',
  'take a tour with real data; starts what it needs',
  'dev/demo/demoMain.ts',
);

export const addAttack = addProgram(
  'attack',
  'attack the embedded stack that runs, and check that each attempt is rejected',
  'dev/attack/attackMain.ts',
);

export const addWorker = addProgram(
  'worker',
  'run one more worker for the embedded stack, until Ctrl-C',
  'dev/stack/workerMain.ts',
);

export const addDoctor = addProgram(
  'doctor',
  'check what waybill dev needs of this machine',
  'dev/stack/doctorMain.ts',
);

function addProgram(name: string, description: string, entry: string): AddCommand {
  return (program, { env }) => {
    program
      .command(name)
      .description(description)
      .action((_, command: Command) => {
        const { json } = command.optsWithGlobals<GlobalOptions>();
        return become(entry, json ? ['--json'] : [], env);
      });
  };
}

/**
 * Runs a program of the package in place of this process, so that signals, exit code and memory are the program’s
 * own. Below an older Node (`bin.js`) the program is a child, and its channel tells it when its parent is gone.
 */
async function become(entry: string, args: readonly string[], env: CliContext['env']): Promise<void> {
  const file = fileURLToPath(new URL(`../../${entry}`, import.meta.url));
  const cache = fileURLToPath(new URL('../../node_modules/.cache/waybill', import.meta.url));
  // Without the cache each process loads a TypeScript compiler to strip types: 12 MiB and half a second each.
  const programEnv = { NODE_COMPILE_CACHE: cache, ...env };
  const argv = ['--disable-warning=ExperimentalWarning', file, ...args];
  if (process.execve && !process.channel)
    process.execve(process.execPath, [process.execPath, ...argv], programEnv as NodeJS.ProcessEnv);
  const child = spawn(process.execPath, argv, {
    env: programEnv,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  process.once('disconnect', () => child.disconnect());
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    // Ctrl-C in the terminal reaches the child by itself.
    process.on(signal, () => signal !== 'SIGINT' && child.kill(signal));
  }
  process.exitCode = await new Promise<number>((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
