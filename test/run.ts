import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { text } from 'node:stream/consumers';
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

/** Folders of files that start whole stacks, the longest first: they wait half of their time. */
const stackFolders = ['cli', 'e2e', 'dev'];
const rankOf = (file: string) => stackFolders.indexOf(file.split('/')[1]!);

const quick = process.argv.includes('--quick');
const parts = process.argv.slice(2).filter((part) => part !== '--quick');
const files = globSync('test/**/*.test.ts')
  .filter((file) => parts.every((part) => file.includes(part)) && (!quick || quickFiles.test(file)))
  .sort((a, b) => rankOf(a) - rankOf(b) || a.localeCompare(b));
const stackFiles = files.filter((file) => rankOf(file) >= 0);
const otherFiles = files.filter((file) => rankOf(file) < 0);

// Hundreds of processes load the same modules: each is compiled once.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url));
const server = await shareServer();
// The server ends when this process exits, which a signal alone would not let it do.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.env[sharedServerVariable] = server.value;

let passed = 0;
let failed = 0;
let skipped = 0;
const durations: { file: string; ms: number }[] = [];
const began = performance.now();

/** Prints the tests of the files in their order. */
function runFiles(some: readonly string[], concurrency: number): NodeJS.ReadableStream {
  const stream = run({ files: [...some], concurrency, timeout: 600_000 });
  stream.on('test:summary', ({ file, counts, duration_ms }) => {
    if (file !== undefined) return void durations.push({ file, ms: duration_ms });
    passed += counts.passed;
    failed += counts.tests - counts.passed - counts.skipped - counts.todo;
    skipped += counts.skipped;
  });
  return stream.compose(spec);
}

// Two files at once; while those are stacks, one more that needs none uses the processors when both wait.
const atOnce = Math.min(2, availableParallelism());
const stacks = stackFiles.length > 0 && runFiles(stackFiles, atOnce);
const others = otherFiles.length > 0 && runFiles(otherFiles, stacks ? 1 : atOnce);
const [first, second] = [stacks, others].filter((stream) => stream !== false);
// What runs beside the first is printed after it.
const printed = second && text(second);
for await (const chunk of first ?? []) process.stdout.write(chunk);
if (printed) process.stdout.write(await printed);
await server.stop();

const seconds = (ms: number) => `${(ms / 1000).toFixed(1).padStart(6)} s`;
console.log('\nslowest files');
for (const { file, ms } of durations.sort((a, b) => b.ms - a.ms).slice(0, 10))
  console.log(`${seconds(ms)}  ${file.slice(file.indexOf('/test/') + 1)}`);
console.log(`${seconds(performance.now() - began)}  in all`);

// A run that tested nothing is no success.
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
console.log(`\n${passed} passed, ${failed} failed${skipped ? `, ${skipped} skipped` : ''}`);
