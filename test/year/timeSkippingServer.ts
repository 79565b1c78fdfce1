import { access, chmod, cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { runToEnd } from '../../dev/stack/runToEnd.ts';

const version = '1.33.0';

/** Bounded, for a machine that reaches neither Maven’s repository nor the vendor only finds out by waiting. */
const fetchMs = 180_000;

/**
 * Temporal’s time-skipping server: from our cache, else by Java and Maven (35 MB, once for a machine), else by the download of
 * its vendor. Where there is none of them: why not.
 */
export async function startTimeSkippingServer(): Promise<TestWorkflowEnvironment | { missing: string }> {
  const reasons: string[] = [];
  for (const way of [fromMaven, fromVendor]) {
    try {
      return await way();
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { missing: `there is no time-skipping server: ${reasons.join('; ')}` };
}

async function fromMaven(): Promise<TestWorkflowEnvironment> {
  await runToEnd('java', ['-version']).catch((error) => {
    throw new Error(`Java: ${error.message}`);
  });
  const folder = join(
    process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
    'waybill',
    `time-skipping-${version}`,
  );
  const path = join(folder, 'server');
  if (!(await isThere(path))) await install(folder);
  return TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
  });
}

/** Beside its place, and then moved there, so that nobody starts half of it. */
async function install(folder: string): Promise<void> {
  await mkdir(join(folder, '..'), { recursive: true });
  const aside = await mkdtemp(`${folder}-`);
  try {
    await cp(fileURLToPath(new URL('pom.xml', import.meta.url)), join(aside, 'pom.xml'));
    const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';
    const args = ['-B', '-q', copy, '-DincludeScope=runtime', `-DoutputDirectory=${join(aside, 'lib')}`];
    await runToEnd('mvn', args, { cwd: aside, signal: AbortSignal.timeout(fetchMs) }).catch((error) => {
      throw new Error(`Maven: ${error.message}`);
    });
    // What it says about its own logging is of no interest to anybody.
    const start = `#!/bin/sh\nexec java -XX:+UseSerialGC -cp "$(dirname "$0")/lib/*" io.temporal.testserver.TestServer "$@" 2>/dev/null\n`;
    await writeFile(join(aside, 'server'), start);
    await chmod(join(aside, 'server'), 0o755);
    await rename(aside, folder).catch(async (error) => {
      // Somebody else was quicker.
      if (!(await isThere(join(folder, 'server')))) throw error;
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

/** The SDK fetches a binary for some platforms. */
async function fromVendor(): Promise<TestWorkflowEnvironment> {
  try {
    return await TestWorkflowEnvironment.createTimeSkipping();
  } catch (error) {
    throw new Error(`the vendor’s download: ${error instanceof Error ? error.message : error}`);
  }
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
