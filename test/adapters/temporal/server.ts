import { TestWorkflowEnvironment } from '@temporalio/testing';
import { DefaultLogger, Runtime } from '@temporalio/worker';
import { findTemporal, searchFromEnvironment } from '../../../dev/binaries/temporalBinary.ts';

/** A real development server in memory, of the binary that the embedded stack uses. About a second, once that is there. */
export async function startTemporalForTest(): Promise<{ env: TestWorkflowEnvironment; binary: string }> {
  // Refusals are logged, and these tests are full of them.
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { filter: 'OFF', forward: {} } },
  });
  const binary = await findTemporalForTest();
  const env = await TestWorkflowEnvironment.createLocal({
    server: { executable: { type: 'existing-path', path: binary }, log: { format: 'json', level: 'error' } },
  });
  return { env, binary };
}

/** Temporal’s command line, which holds the server. */
export function findTemporalForTest(): Promise<string> {
  return findTemporal({
    ...searchFromEnvironment(process.env),
    signal: new AbortController().signal,
    say: () => {},
  });
}
