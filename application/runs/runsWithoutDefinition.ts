import { setTimeout as pause } from 'node:timers/promises';
import { WaybillError } from '../../domain/errors.ts';
import { runResourceOf } from '../../domain/policies/policy.ts';
import { hasEnded, type Run } from '../../domain/runs/run.ts';
import { isOfLetters, isPulled } from '../../domain/sources/source.ts';
import { type Authorization, authorizeAction } from '../authorize.ts';
import type { ApplicationOptions } from '../ports.ts';
import { mayReadRun, pipelineNotFound, readablePage } from '../readable.ts';
import { acceptRun } from './acceptRun.ts';
import { authorizeRun } from './authorizeRun.ts';
import { cancelRun } from './cancelRun.ts';

/** Which of the runs that wait, suspended or for an approval, while the definition that they were accepted with is not served. */
export interface WaitingChoice {
  pipeline?: string | undefined;
  /** The `nextCursor` of the request before. */
  cursor?: string | undefined;
  /** Says what would become of each, and changes nothing. */
  dryRun: boolean;
}

interface WaitingOutcome {
  run: Run;
  /** Why nothing was done to it. */
  code: string | null;
  /** The run that does its work now. */
  movedTo: string | null;
}

export interface WaitingPage {
  items: WaitingOutcome[];
  nextCursor: string | null;
}

type Ports = Parameters<typeof acceptRun>[0];

/** So many runs a request is about. */
const pageMax = 100;
/** The relay and a worker end a cancelled run within seconds; a request does not wait for longer. */
const endWithinMs = 30_000;

/** Cancels the runs. What is stored stays stored. */
export async function cancelWaitingRuns(
  ports: Ports,
  authorization: Authorization,
  choice: WaitingChoice,
): Promise<WaitingPage> {
  return forEachWaiting(ports, authorization, choice, async (run) => {
    await authorizeCancel(ports, authorization, run, choice.dryRun);
  });
}

/**
 * Cancels the runs, and runs what they have not stored of their pinned input by the current definition, under the grant of the caller. Who
 * asks needs both rights. A run that its cancel has not ended in time has the code `RunNotEnded`: retry that run by itself.
 */
export async function moveWaitingRuns(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  choice: WaitingChoice,
): Promise<WaitingPage> {
  const page = await forEachWaiting(ports, authorization, choice, async (run) => {
    await callerOf(ports, authorization, run);
    await checkMovable(ports, run);
    await authorizeCancel(ports, authorization, run, choice.dryRun);
  });
  if (choice.dryRun) return page;
  const untilMs = Date.now() + endWithinMs;
  for (const item of page.items) {
    if (item.code !== null) continue;
    item.code = await codeOf(async () => {
      item.run = await endedRun(ports, authorization, item.run, untilMs);
      const caller = await callerOf(ports, authorization, item.run);
      const { run } = await acceptRun(ports, options, caller, { kind: 'retry', of: item.run });
      item.movedTo = run.id;
    });
  }
  return page;
}

async function forEachWaiting(
  { runs, definitions, policy }: Ports,
  { principal }: Authorization,
  { pipeline, cursor }: WaitingChoice,
  act: (run: Run) => Promise<void>,
): Promise<WaitingPage> {
  const wanted = {
    ...(pipeline !== undefined && { pipeline }),
    states: ['suspended', 'awaiting-approval'] as const,
    otherThan: definitions.listDigests(),
  };
  const { items, nextCursor } = await readablePage(
    { limit: pageMax, cursor },
    (page) => runs.list(principal.tenant, { ...wanted, ...page }),
    (run) => mayReadRun(policy, principal, run),
  );
  const outcomes: WaitingOutcome[] = [];
  for (const run of items) outcomes.push({ run, code: await codeOf(() => act(run)), movedTo: null });
  return { items: outcomes, nextCursor };
}

/** What is wrong with one run stops none of the others. */
async function codeOf(act: () => Promise<void>): Promise<string | null> {
  try {
    await act();
    return null;
  } catch (error) {
    if (error instanceof WaybillError && !error.retryable) return error.code;
    throw error;
  }
}

async function authorizeCancel(
  ports: Ports,
  authorization: Authorization,
  run: Run,
  dryRun: boolean,
): Promise<void> {
  const { principal, txn } = authorization;
  const question = { principal, action: 'cancel', resource: runResourceOf(run) } as const;
  const { policies, digest } = await authorizeAction(ports, question, txn, { run });
  if (!dryRun) await cancelRun(ports, { ...authorization, run, policies, policyDigest: digest });
}

/** The caller, who may run all steps of the current definition. */
async function callerOf(ports: Ports, authorization: Authorization, { pipeline: id }: Run) {
  const pipeline = ports.definitions.find(id);
  if (!pipeline) throw pipelineNotFound(ports, authorization.principal, id);
  const [decision] = await authorizeRun(ports, { ...authorization, pipeline });
  return { ...authorization, pipeline, policies: decision!.policies, policyDigest: decision!.digest };
}

/** Before it is cancelled: whether another run can do what it has left. */
async function checkMovable({ runs }: Ports, { id: runId, tenant }: Run): Promise<void> {
  const { source, sealed, left } = await runs.findInput({ tenant, runId });
  if (isOfLetters(source) || (!sealed && !isPulled(source))) throw new WaybillError('RunInputIncomplete');
  if (sealed && left.length === 0) throw new WaybillError('RunFullyStored');
}

async function endedRun(
  { runs }: Ports,
  { signal }: Authorization,
  { id, tenant }: Run,
  untilMs: number,
): Promise<Run> {
  for (;;) {
    const run = await runs.find(tenant, id);
    if (!run) throw new WaybillError('RunNotFound');
    if (hasEnded(run.state)) return run;
    if (Date.now() >= untilMs) throw new WaybillError('RunNotEnded');
    await pause(200, undefined, { signal });
  }
}
