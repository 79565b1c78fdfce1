import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';
import { sharedServerVariable, shareServer } from './support/stack.ts';

/*
 * `npm test [-- PART …]` runs every test file with each PART in its path in a process of its own, against one PostgreSQL
 * server with a database for each file. `npm run test:quick` runs what needs no server. Both end with the ten slowest
 * files and one plain line that counts.
 */

/** What `npm run test:quick` runs: rules, use cases, records, and workflows by replay. */
const quickFiles =
  /^test\/(domain|application|activities|engine|connectors)\/|^test\/workflows\/replay\.test\.ts$/;

/** Folders that start the whole stack. They wait more than they compute, so they begin first. */
const stackFolders = ['e2e', 'cli'];
const rankOf = (file: string) =>
  (stackFolders.indexOf(file.split('/')[1]!) + stackFolders.length + 1) % (stackFolders.length + 1);

const quick = process.argv.includes('--quick');
const parts = process.argv.slice(2).filter((part) => part !== '--quick');
const files = globSync('test/**/*.test.ts')
  .filter((file) => parts.every((part) => file.includes(part)) && (!quick || quickFiles.test(file)))
  .sort((a, b) => rankOf(a) - rankOf(b) || a.localeCompare(b));

// Hundreds of processes load the same modules: each is compiled once.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url));
const server = await shareServer();
process.env[sharedServerVariable] = server.value;

let passed = 0;
let failed = 0;
let skipped = 0;
const durations: { file: string; ms: number }[] = [];
const began = performance.now();

const stream = run({
  files,
  concurrency: Math.min(2, availableParallelism()),
  timeout: 600_000,
});
stream.on('test:summary', ({ file, counts, duration_ms }) => {
  if (file !== undefined) return void durations.push({ file, ms: duration_ms });
  passed = counts.passed;
  failed = counts.tests - counts.passed - counts.skipped - counts.todo;
  skipped = counts.skipped;
});
stream.compose(spec).pipe(process.stdout);
await new Promise((resolve) => stream.once('end', resolve));
await server.stop();

const seconds = (ms: number) => `${(ms / 1000).toFixed(1).padStart(6)} s`;
console.log('\nslowest files');
for (const { file, ms } of durations.sort((a, b) => b.ms - a.ms).slice(0, 10))
  console.log(`${seconds(ms)}  ${file.slice(file.indexOf('/test/') + 1)}`);
console.log(`${seconds(performance.now() - began)}  in all`);

// A run that tested nothing is no success.
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
console.log(`\n${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
