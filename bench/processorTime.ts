import { readFileSync } from 'node:fs';

/** Of `/proc`: a hundredth of a second, whatever the machine. */
const tickMs = 10;

/** Milliseconds of a processor that these processes have had since they began, all threads together. Linux only. */
export function processorMs(pids: readonly number[], { endedChildren = false } = {}): number {
  return pids.reduce((sum, pid) => {
    // The name, in parentheses, may hold anything; utime and stime are the 14th and 15th fields, then those of ended children.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    const ticks = fields.slice(11, endedChildren ? 15 : 13).map(Number);
    return sum + ticks.reduce((a, b) => a + b, 0) * tickMs;
  }, 0);
}
