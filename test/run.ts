import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { sharedServerVariable, shareServer } from './support/stack.ts';

/*
 * `npm test [-- PART …]` runs every test file with each PART in its path in a process of its own, against one PostgreSQL
 * server with a database for each file. `npm run test:quick` runs what needs no server. A file that has not ended after
 * ten minutes is killed with all that it started, and has failed. Both end with the failures, the ten slowest files and
 * one plain line that counts.
 */

/** What `npm run test:quick` runs: rules, use cases, records, and workflows by replay. */
const quickFiles =
  /^test\/(domain|application|activities|engine|connectors)\/|^test\/workflows\/replay\.test\.ts$/;

/** Folders of files that start whole stacks, the longest first: they wait half of their time. */
const stackFolders = ['cli', 'e2e', 'dev'];
const rankOf = (file: string) => stackFolders.indexOf(file.split('/')[1]!);

const fileTimeoutMs = 600_000;
/** Makes Node write a diagnostic report. */
const reportSignal = 'SIGXCPU';

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
process.env[sharedServerVariable] = server.value;

const folder = await mkdtemp(join(tmpdir(), 'waybill-reports-'));

/** Process groups of the files that run now. The server ends when this process exits. */
const groups = new Set<number>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
process.once('exit', () => {
  for (const group of groups) killGroup(group);
});

const total = { passed: 0, failed: 0, skipped: 0 };
const durations: { file: string; ms: number }[] = [];
const failures: string[] = [];
const began = performance.now();

/** Runs one file, prints what it printed once it has ended, and counts its tests. */
async function runFile(file: string): Promise<void> {
  const started = performance.now();
  // A process group of its own, so that it can be ended with all that it started.
  const reports = ['--report-on-signal', `--report-signal=${reportSignal}`, '--report-compact'];
  const child = spawn(process.execPath, [...reports, `--report-directory=${folder}`, file], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const group = child.pid!;
  groups.add(group);
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  let timedOut = false;
  const timer = setTimeout(async () => {
    timedOut = true;
    output += await whatKeepsAlive(child);
    killGroup(group);
  }, fileTimeoutMs);
  const closed = once(child, 'close');
  const [code] = (await once(child, 'exit')) as [number | null];
  clearTimeout(timer);
  // What the file left running would hold its output open.
  killGroup(group);
  groups.delete(group);
  await closed;

  const count = (name: string) => Number(output.match(new RegExp(`^ℹ ${name} (\\d+)$`, 'm'))?.[1] ?? 0);
  const failed = count('fail') + count('cancelled');
  total.passed += count('pass') - count('todo');
  total.skipped += count('skipped');
  total.failed += failed || (code === 0 ? 0 : 1);
  durations.push({ file, ms: performance.now() - started });
  const verdict = timedOut ? 'has not ended in time' : code !== 0 && !failed ? `ended with ${code}` : '';
  const title = `${file}${verdict && `: ✖ ${verdict}`}`;
  if (failed || code !== 0) failures.push(`${title}\n${failureOf(output)}`);
  process.stdout.write(`\n${title}\n${output.replace(countLines, '')}`);
}

/** The reporter's heading of what failed in a file. */
const failingTests = '\n✖ failing tests:\n';
/** Characters of a file's failures that are printed again at the end, which is all that some logs keep. */
const failureLimit = 3_000;

/** What the reporter says of the failed tests, or the end of what a file printed that ended without a report. */
function failureOf(output: string): string {
  const report = output.replace(countLines, '').split(failingTests)[1];
  return report === undefined ? output.slice(-failureLimit) : report.trim().slice(0, failureLimit);
}

const countLines = /^ℹ (tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+\n/gm;

/** The stack of the main thread, and the handles that keep its event loop alive, from a diagnostic report. */
async function whatKeepsAlive(child: ChildProcess): Promise<string> {
  child.kill(reportSignal);
  await pause(5_000);
  const [name] = globSync(`report.*.${child.pid}.*.json`, { cwd: folder });
  if (!name) return '\nIts main thread does not answer.\n';
  const { javascriptStack, libuv } = JSON.parse(await readFile(join(folder, name), 'utf8'));
  const handles = libuv.filter(
    (handle: { is_active?: boolean; is_referenced?: boolean }) => handle.is_active && handle.is_referenced,
  );
  return `\n${JSON.stringify({ javascriptStack, handles }, null, 1)}\n`;
}

/** Takes files from the first list, then from the second, until both are empty. */
async function runFiles(...lists: string[][]): Promise<void> {
  while (true) {
    const file = lists.find((list) => list.length > 0)?.shift();
    if (file === undefined) return;
    await runFile(file);
  }
}

function killGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // All of it has ended.
  }
}

// Stacks wait half of their time, so that three of them and a file without one use two processors.
const lanes = Array.from({ length: availableParallelism() + 1 }, () => runFiles(stackFiles, otherFiles));
await Promise.all([...lanes, runFiles(otherFiles, stackFiles)]);
await server.stop();
await rm(folder, { recursive: true, force: true });

if (failures.length > 0) console.log(`\nfailures\n${failures.join('\n\n')}`);

const seconds = (ms: number) => `${(ms / 1000).toFixed(1).padStart(6)} s`;
console.log('\nslowest files');
for (const { file, ms } of durations.sort((a, b) => b.ms - a.ms).slice(0, 10))
  console.log(`${seconds(ms)}  ${file}`);
console.log(`${seconds(performance.now() - began)}  in all`);

// A run that tested nothing is no success.
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
if (total.skipped > 0) console.log(`${total.skipped} skipped`);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
