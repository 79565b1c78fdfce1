import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readClientSettings } from '../../cli/cliSettings.ts';
import { type CliContext, CliError } from '../../cli/context.ts';
import { readDevJson } from '../../cli/embedded/devJson.ts';
import { openProgress } from '../../cli/output/progress.ts';
import { hasExited, stopChild } from '../stack/child.ts';
import { nodeFlags, packageFile } from '../stack/nodeService.ts';

/** The embedded stack of WAYBILL_HOME: the one that is up, or one for as long as the demo takes. */
export interface DemoStack {
  /** Whether this process started it, and so `end` stops it. */
  started: boolean;
  end(): Promise<void>;
}

/** `interrupted` ends the start. */
export async function stackForDemo(context: CliContext, interrupted: Promise<void>): Promise<DemoStack> {
  const running = readDevJson(join(readClientSettings(context).WAYBILL_HOME, 'dev.json'));
  if (running && (await answers(running.apiUrl))) return { started: false, end: async () => {} };
  return start(context, interrupted);
}

async function answers(apiUrl: string): Promise<boolean> {
  return fetch(new URL('/healthz', apiUrl), { signal: AbortSignal.timeout(2_000) }).then(
    ({ ok }) => ok,
    () => false,
  );
}

/** All of its grace periods together. */
const graceMs = 60_000;

/** A process of its own, which ends with this one, however that ends. */
async function start({ env }: CliContext, interrupted: Promise<void>): Promise<DemoStack> {
  const progress = openProgress(process.stderr);
  progress.show('Starting the embedded stack');
  const child = spawn(
    process.execPath,
    [...nodeFlags, packageFile('dev/stack/devMain.ts'), packageFile('examples/acme')],
    {
      env,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Ctrl-C in the terminal is for the demo, which stops the stack in the end.
      detached: true,
    },
  );
  const end = () => stopChild(child, 'SIGTERM', graceMs);
  void interrupted.then(end);
  let last = '';
  const ready = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface(stream!).on('line', (line) => {
        last = line || last;
        if (line.startsWith('Waybill is ready')) resolve();
        else progress.show(`Starting the embedded stack: ${line}`);
      });
    }
  });
  await Promise.race([ready, once(child, 'close')]);
  if (hasExited(child)) {
    progress.end();
    throw new CliError(last || 'The embedded stack did not start.');
  }
  progress.end('The embedded stack is up.');
  return { started: true, end };
}
