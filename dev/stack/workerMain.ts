import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { readClientSettings } from '../../cli/cliSettings.ts';
import { runningStack } from '../../cli/connect.ts';
import { type CliContext, CliError } from '../../cli/context.ts';
import { printResult, tell } from '../../cli/output/terminal.ts';
import { runProgram } from '../program.ts';
import { importFlags, nodeFlags, packageFile } from './nodeService.ts';
import { workerImports } from './stackServices.ts';

/** `waybill worker`: one more worker for the running embedded stack, until Ctrl-C. */
await runProgram(process.env, ({ json, context }) => work(json, context));

async function work(json: boolean, context: CliContext): Promise<void> {
  const home = readClientSettings(context).WAYBILL_HOME;
  runningStack(home);
  const log = join(home, 'logs', `worker-${process.pid}.log`);
  const child = await start(home, log, context.env);
  const ended = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => resolve(signal ?? code ?? 1));
  });
  let asked = false;
  const onSignal = () => {
    if (asked) return void child.kill('SIGKILL');
    asked = true;
    tell('Draining; once more ends it at once.');
    child.kill('SIGTERM');
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  child.on('message', (message: { ready?: boolean; healthPort?: number }) => {
    if (!message.ready) return;
    const worker = `${child.pid}@${hostname()}`;
    const healthUrl = `http://127.0.0.1:${message.healthPort}`;
    printResult(json, { worker, healthUrl, log }, () => [
      `Worker ${worker} is ready (health: ${healthUrl}, log: ${log}). Ctrl-C drains it.`,
    ]);
  });
  const end = await ended;
  if (!asked) throw new CliError(`The worker ended by itself (${end}). Its log is ${log}.`);
  if (end !== 0) throw new CliError(`The worker was ended before it had drained (${end}).`);
  tell('Drained.');
}

/** With the environment that the supervisor gives to its own; it ends with this process, however that ends. */
async function start(home: string, log: string, env: CliContext['env']): Promise<ChildProcess> {
  const own = JSON.parse(readFileSync(join(home, 'keys', 'worker.json'), 'utf8')) as Record<string, string>;
  const rest = Object.entries(env).filter(([name]) => !name.startsWith('WAYBILL_'));
  const file = await open(log, 'a', 0o600);
  try {
    return spawn(
      process.execPath,
      [...nodeFlags, ...importFlags(...workerImports), packageFile('workers/main.ts')],
      {
        env: { ...Object.fromEntries(rest), ...own },
        stdio: ['ignore', file.fd, file.fd, 'ipc'],
        // Ctrl-C in the terminal is for this process, which passes it on once.
        detached: true,
      },
    );
  } finally {
    await file.close();
  }
}
