import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { DevStack } from '../test/support/devStack.ts';

/** Proportional set size of a process in MiB: pages shared by n processes count 1/n. Linux only. */
export function pssMiB(pid: number): number {
  try {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** The supervisor and everything below it, by name; PostgreSQL’s backends count with it. */
export function stackMiB(stack: DevStack): { total: number; byName: Map<string, number> } {
  const byName = new Map(
    [...processesOf(stack)].map(([name, pids]) => [name, pids.reduce((sum, pid) => sum + pssMiB(pid), 0)]),
  );
  return { total: [...byName.values()].reduce((a, b) => a + b, 0), byName };
}

/** The process ids of the stack by name; PostgreSQL’s backends count with it. */
export function processesOf(stack: DevStack): Map<string, number[]> {
  const parents = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  const below = (pid: number): number[] => [
    pid,
    ...parents.filter(([, parent]) => parent === pid).flatMap(([child]) => below(child)),
  ];
  return new Map([
    ['supervisor', [stack.supervisor.pid!]],
    ...stack.info().processes.map(({ name, pid }) => [name, below(pid)] as [string, number[]]),
  ]);
}
