import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { sharedServerVariable, shareServer } from './support/stack.ts';

/*
 * `npm test [-- part-of-a-path …]`: every test file in a process of its own, against one PostgreSQL server with a
 * database for each file. Ends with one plain line that counts.
 */

const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts').filter((file) => wanted.every((part) => file.includes(part)));
const server = await shareServer();
process.env[sharedServerVariable] = server.value;

let passed = 0;
let failed = 0;
let skipped = 0;

const stream = run({
  files: files.sort(),
  concurrency: Math.min(2, availableParallelism()),
  timeout: 600_000,
});
stream.on('test:summary', ({ file, counts }) => {
  if (file !== undefined) return;
  passed = counts.passed;
  failed = counts.tests - counts.passed - counts.skipped - counts.todo;
  skipped = counts.skipped;
});
stream.compose(spec).pipe(process.stdout);
await new Promise((resolve) => stream.once('end', resolve));
await server.stop();

// A run that tested nothing is no success.
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
console.log(`\n${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
