import type { ChildProcess } from 'node:child_process';

/** Asks a child to end, and kills it where it has not within `graceMs`. Resolves once it is gone. */
export async function stopChild(child: ChildProcess, signal: NodeJS.Signals, graceMs: number): Promise<void> {
  if (hasExited(child)) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(timer);
}

export function hasExited(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Asks `ready` again and again until it says yes. Throws when the child ended before, or after `timeoutMs`. */
export async function untilReady(
  child: ChildProcess,
  name: string,
  timeoutMs: number,
  ready: () => Promise<boolean>,
): Promise<void> {
  const start = performance.now();
  while (!(await ready())) {
    if (hasExited(child))
      throw new Error(`${name} ended while it started (${child.exitCode ?? child.signalCode})`);
    if (performance.now() - start > timeoutMs)
      throw new Error(`${name} was not ready after ${timeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

const pollMs = 25;
