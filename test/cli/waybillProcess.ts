import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../cli/runCommand.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface RunningCommand {
  child: ChildProcess;
  /** What it has printed until now. */
  so: Ended;
  ended: Promise<Ended>;
  /** Resolves once standard output or standard error matches; rejects when it ends before. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
}

/** `waybill …` as a real process. Its environment holds no settings of Waybill but the given ones. */
export function startWaybill(
  args: readonly string[],
  env: Record<string, string>,
  entry = 'cli/bin.js',
): RunningCommand {
  // Optimising the WebAssembly of the policy engine costs so short a process more than it gives.
  return startCommand(process.execPath, ['--liftoff-only', `${root}${entry}`, ...args], env);
}

export function startCommand(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
  cwd = root,
): RunningCommand {
  const child = spawn(program, args, { cwd, env: { ...otherEnv(), ...env } });
  const so: Ended = { code: null, stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      so[name] += text;
      for (const listener of listeners) listener();
    });
  }
  // A command that does not read all of its input may have ended before it was written.
  child.stdin.on('error', () => {});
  const ended = once(child, 'close').then(([code]) => Object.assign(so, { code }));
  return {
    child,
    so,
    ended,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = pattern.exec(so.stdout) ?? pattern.exec(so.stderr);
          if (found) resolve(found);
        };
        listeners.add(look);
        look();
        void ended.then(() =>
          reject(new Error(`It ended (${so.code}) without saying ${pattern}: ${so.stderr}`)),
        );
      }),
  };
}

/** These commands replace their process by a program of `dev/`. */
const programs = ['dev', 'demo', 'attack', 'worker', 'doctor'];
/** One at a time, because all of them set the exit code of this process. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * `waybill …` to its end, with the output and exit code of a real process, but run in this one: a tenth of the processor time. What a
 * test kills, feeds or leaves running is a process: `startWaybill`.
 */
export function runWaybill(args: readonly string[], env: Record<string, string>): Promise<Ended> {
  if (programs.some((name) => args.includes(name))) return startWaybill(args, env).ended;
  const ended = turn.then(async () => {
    const exitCode = process.exitCode;
    process.exitCode = undefined;
    const so: Ended = { code: 0, stdout: '', stderr: '' };
    try {
      await outputs.run(so, () => runCommand(args, { env: { ...otherEnv(), ...env } }));
      return Object.assign(so, { code: Number(process.exitCode ?? 0) });
    } finally {
      process.exitCode = exitCode;
    }
  });
  turn = ended.catch(() => {});
  return ended;
}

/**
 * A process for commands that load a project, of which a process sees no change: `run` as `runWaybill`; after `renew` the next command
 * has a new process. Starting one costs as much as several commands.
 */
export function startCommandServer() {
  let server: ChildProcess | undefined;
  const renew = () => {
    server?.disconnect();
    server = undefined;
  };
  return {
    async run(args: readonly string[], env: Record<string, string>): Promise<Ended> {
      server ??= fork(`${root}test/cli/commandServerMain.ts`, {
        cwd: root,
        env: otherEnv() as NodeJS.ProcessEnv,
      });
      const answer = once(server, 'message');
      server.send({ args, env });
      const [ended] = (await answer) as [Ended];
      return ended;
    },
    renew,
  };
}

const npx = `npx() { shift; "${process.execPath}" "${root}cli/bin.js" "$@"; }`;

/**
 * A block of commands as a page shows it, read by a real shell with `env`. Where each line is `npx waybill …`, the commands run in
 * this process: the pages name projects that no test changes. Ends with the first that fails.
 */
export async function runBlock(block: string, env: Record<string, string>): Promise<Ended> {
  const lines = block.trim().split('\n');
  if (!lines.every((line) => /^npx waybill [^|;&<>()`]+$/.test(line))) {
    const shell = startCommand('sh', ['-e', '-c', `${npx}\n${block}`], env);
    shell.child.stdin!.end();
    return shell.ended;
  }
  const all: Ended = { code: 0, stdout: '', stderr: '' };
  for (const line of lines) {
    const words = execFileSync('sh', ['-e', '-c', `npx() { shift; printf '%s\\0' "$@"; }\n${line}`], {
      env,
      encoding: 'utf8',
    });
    const { code, stdout, stderr } = await runWaybill(words.split('\0').slice(0, -1), env);
    Object.assign(all, { code, stdout: all.stdout + stdout, stderr: all.stderr + stderr });
    if (code !== 0) break;
  }
  return all;
}

/** What the commands that run in this process print, each to its own. */
const outputs = new AsyncLocalStorage<Ended>();
for (const name of ['stdout', 'stderr'] as const) {
  const stream = process[name];
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  stream.write = (chunk: Uint8Array | string, ...rest: unknown[]): boolean => {
    const so = outputs.getStore();
    if (!so) return write(chunk, ...rest);
    so[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
    return true;
  };
}

/** The environment of the tests without settings of Waybill, of the test runner, and for terminals. */
function otherEnv(): Record<string, string | undefined> {
  const rest = Object.entries(process.env).filter(
    ([name]) => !/^(WAYBILL_|NODE_TEST|FORCE_COLOR)/.test(name),
  );
  return Object.fromEntries(rest);
}

/** The documents on standard output, which holds nothing else: one a line. */
export function documents<T>({ stdout }: Ended): T[] {
  assert.ok(stdout.endsWith('\n'), stdout);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}
