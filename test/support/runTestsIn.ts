import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';

/** Runs a test file of another project and demands that this many of its tests pass, and no test fails. */
export async function runTestsIn(folder: string, file: string, passed: number): Promise<void> {
  const child = spawn(process.execPath, ['--test', file], {
    cwd: folder,
    // Otherwise the child would report to this run instead of running its own tests.
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
  });
  const output: Buffer[] = [];
  child.stdout.on('data', (chunk) => output.push(chunk));
  const code = await new Promise((exited) => child.on('close', exited));
  const text = Buffer.concat(output).toString();
  assert.equal(code, 0, text);
  assert.match(text, new RegExp(`pass ${passed}`));
}
