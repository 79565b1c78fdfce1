import { randomUUID } from 'node:crypto';
import { Client, type WorkflowStartOptions } from '@temporalio/client';
import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import { carryingGrant, type GrantTerms } from '../../../sdk/temporal.ts';
import { bob, type Scripted } from './scriptedWorker.ts';
import type { Act } from './scriptedWorkflows.ts';

export type Script = ReturnType<typeof createScript>;

/** One workflow of a test, and what came of it. */
export function createScript(app: Scripted) {
  const id = `scripted-${randomUUID()}`;
  const handle = app.client.workflow.getHandle(id);

  /** Under no grant, where none is given. */
  const carrying = <T>(grant: string | undefined, work: () => Promise<T>) =>
    grant === undefined ? work() : carryingGrant(grant, work);

  const mint = (terms: Partial<GrantTerms> = {}) => app.mint({ workflowId: id, ...terms });

  return {
    id,
    handle,
    mint,
    /** What alice may start: exactly these arguments. */
    forStart: (acts: Act[], terms: Partial<GrantTerms> = {}) => mint({ args: [acts], ...terms }),
    /** What bob may send: exactly this message. */
    byBob: (name: string, acts: Act[], terms: Partial<GrantTerms> = {}) =>
      mint({ principal: bob, message: { name, args: [acts] }, ...terms }),

    options: (acts: Act[], options: Partial<WorkflowStartOptions> = {}) => ({
      workflowId: id,
      taskQueue: app.taskQueue,
      args: [acts],
      ...options,
    }),
    start(grant: string | undefined, acts: Act[], options: Partial<WorkflowStartOptions> = {}) {
      return carrying(grant, () => app.client.workflow.start('scripted', this.options(acts, options)));
    },
    /** Starts it as alice may, and waits for its end. */
    async play(acts: Act[], options: Partial<WorkflowStartOptions> = {}, terms: Partial<GrantTerms> = {}) {
      await this.start(await this.forStart(acts, terms), acts, options);
      await handle.result();
    },
    signal: (grant: string | undefined, acts: Act[], name = 'act') =>
      carrying(grant, () => handle.signal(name, acts)),
    update: (grant: string | undefined, acts: Act[], name = 'update') =>
      carrying(grant, () => handle.executeUpdate(name, { args: [acts] })),

    /** What was done, and for which principal, in this workflow and its children. */
    effects: () => app.effectsOf(id),
    refusals: () => app.refusalsOf(id),
    until: (done: () => boolean) => eventually(done, () => `${app.effectsOf(id)} ${app.refusalsOf(id)}`),
  };
}

/** A client that sends these headers with everything, as any program can. */
export function clientWith(app: Scripted, texts: Record<string, string>): Client {
  const made = Object.entries(texts).map(([name, text]) => [name, defaultPayloadConverter.toPayload(text)]);
  const add = <T extends { headers: Headers }>(input: T): T => ({
    ...input,
    headers: { ...input.headers, ...Object.fromEntries(made) },
  });
  return new Client({
    connection: app.env.connection,
    interceptors: {
      workflow: [
        {
          startWithDetails: (input, next) => next(add(input)),
          signal: (input, next) => next(add(input)),
          startUpdate: (input, next) => next(add(input)),
        },
      ],
      schedule: [{ create: (input, next) => next(add(input)) }],
    },
  });
}

/** The code of the refusal with which `work` ends. */
export async function codeOf(work: Promise<unknown>): Promise<unknown> {
  const error = await work.then(
    () => new Error('it was not refused'),
    (error: unknown) => error,
  );
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if ('type' in cause && cause.type) return cause.type;
  throw error;
}

async function eventually(done: () => boolean, state: () => string): Promise<void> {
  const from = performance.now();
  while (!done()) {
    if (performance.now() - from > 20_000) throw new Error(`it did not come to that: ${state()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
