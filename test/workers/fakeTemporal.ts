import { type Client, WorkflowNotFoundError } from '@temporalio/client';

/** A call to Temporal: what, about which workflow, and the arguments that tests compare. */
export type Call = [what: string, workflowId: string, detail?: unknown];

export interface FakeTemporal {
  client: Client;
  calls: Call[];
  /** What each workflow is; Temporal does not know the others. */
  workflows: Map<string, { status: string; firstExecution?: string }>;
  /** Thrown by the next calls that would change something. */
  failure?: Error;
}

/** A Temporal client that records what it was asked to do. */
export function fakeTemporal(
  known: Record<string, { status: string; firstExecution?: string }> = {},
): FakeTemporal {
  const fake: FakeTemporal = {
    calls: [],
    workflows: new Map(Object.entries(known)),
    client: undefined as never,
  };
  const record = async (call: Call) => {
    if (fake.failure) throw fake.failure;
    fake.calls.push(call);
  };
  const message = async (...call: Call) => {
    if (!fake.workflows.has(call[1])) throw new WorkflowNotFoundError('unknown', call[1], undefined);
    await record(call);
  };
  fake.client = {
    withDeadline: (_: number, work: () => Promise<unknown>) => work(),
    workflow: {
      start: (type: string, options: { workflowId: string }) =>
        record([`start ${type}`, options.workflowId, options]),
      getHandle: (id: string) => ({
        async describe() {
          const found = fake.workflows.get(id);
          if (!found) throw new WorkflowNotFoundError('unknown', id, undefined);
          const { status, firstExecution } = found;
          return { status: { name: status }, raw: { workflowExecutionInfo: { firstRunId: firstExecution } } };
        },
        cancel: () => message('cancel', id),
        signal: ({ name }: { name: string }) => message('signal', id, name),
        startUpdate: (
          { name }: { name: string },
          { updateId, args }: { updateId: string; args?: unknown[] },
        ) => message('update', id, [name, updateId, ...(args ?? [])]),
      }),
    },
  } as unknown as Client;
  return fake;
}
