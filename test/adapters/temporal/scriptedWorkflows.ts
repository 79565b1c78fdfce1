import {
  ApplicationFailure,
  allHandlersFinished,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  executeChild,
  getExternalWorkflowHandle,
  proxyActivities,
  proxyLocalActivities,
  setDefaultUpdateHandler,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { verifiedCaller } from 'waybill/temporal/workflow';
import type { Principal } from '../../../domain/principal.ts';

/** What a workflow, a handler or a child is to do, one after the other. `note` records the principal of the grant it ran under. */
export type Act =
  | { note: string; local?: true; failing?: number }
  | { child: string; type?: string; acts: Act[] }
  | { tell: string; acts: Act[] }
  | { continue: Act[] }
  | { set: string }
  | { until: string }
  /** Goes on without waiting for it. */
  | { fork: Act[] }
  /** Leaves work that another handler takes up with `take`. */
  | { leave: string; acts: Act[] }
  | { take: string }
  /** Fails the workflow, in its first attempt only. */
  | { failOnce: true };

interface Notes {
  note(label: string, failing: number): Promise<void>;
}

export const act = defineSignal<[Act[]]>('act');
export const update = defineUpdate<void, [Act[]]>('update');
export const unvalidated = defineUpdate<void, [Act[]]>('unvalidated');
export const sender = defineUpdate<Principal, []>('sender');
export const sets = defineQuery<string[]>('sets');
export const borrow = defineQuery<string>('borrow');

const far = proxyActivities<Notes>({ startToCloseTimeout: '10s', retry: { initialInterval: '20ms' } });
// Backs off for longer than a workflow task lasts, so that a retry comes by a timer and is scheduled again.
const near = proxyLocalActivities<Notes>({
  startToCloseTimeout: '10s',
  localRetryThreshold: '1ms',
  retry: { initialInterval: '20ms' },
});

export async function scripted(acts: Act[]): Promise<void> {
  const done = new Set<string>();
  const left = new Map<string, () => Promise<void>>();

  async function run(acts: Act[]): Promise<void> {
    for (const one of acts) await runOne(one);
  }

  async function runOne(one: Act): Promise<void> {
    if ('note' in one) await (one.local ? near : far).note(one.note, one.failing ?? 0);
    else if ('child' in one)
      await executeChild(one.type ?? 'scripted', { workflowId: one.child, args: [one.acts] });
    else if ('tell' in one) await getExternalWorkflowHandle(one.tell).signal(act, one.acts);
    else if ('continue' in one) await continueAsNew<typeof scripted>(one.continue);
    else if ('set' in one) done.add(one.set);
    else if ('until' in one) await condition(() => done.has(one.until));
    else if ('fork' in one) void run(one.fork);
    else if ('leave' in one) left.set(one.leave, () => run(one.acts));
    else if ('take' in one) {
      await condition(() => left.has(one.take));
      await left.get(one.take)!();
    } else if (workflowInfo().attempt === 1) throw ApplicationFailure.retryable('not yet');
  }

  setHandler(sets, () => [...done]);
  setHandler(borrow, () => {
    void far.note('borrowed by a query', 0).catch(() => {});
    return 'tried';
  });
  setHandler(act, run);
  setHandler(update, run, { validator: (_: Act[]) => {} });
  setHandler(unvalidated, run);
  setHandler(sender, () => verifiedCaller());
  setDefaultUpdateHandler((name) => `${name} is nothing to me`);
  await run(acts);
  await condition(allHandlersFinished);
}

export const ungranted: typeof scripted = (acts) => scripted(acts);

/** The principal that the workflow finds it acts for. */
export async function asking(): Promise<Principal> {
  return verifiedCaller();
}
