import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

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
  return startCommand(process.execPath, [`${root}${entry}`, ...args], env);
}

export function startCommand(
  program: string,
  args: readonly string[],
  env: Record<string, string>,
  cwd = root,
): RunningCommand {
  const rest = Object.entries(process.env).filter(
    ([name]) => !/^(WAYBILL_|NODE_TEST|FORCE_COLOR)/.test(name),
  );
  const child = spawn(program, args, { cwd, env: { ...Object.fromEntries(rest), ...env } });
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

/** The documents on standard output, which holds nothing else: one a line. */
export function documents<T>({ stdout }: Ended): T[] {
  assert.ok(stdout.endsWith('\n'), stdout);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as T);
}
