import { ApplicationFailure, type Context } from '@temporalio/activity';
import type { ActivityInterceptors } from '@temporalio/worker';
import { type AheadStep, aheadSteps, type StepCall, type StepsAhead } from '../../domain/runs/run.ts';

type Input = Parameters<NonNullable<NonNullable<ActivityInterceptors['inbound']>['execute']>>[0];

export interface AheadOptions {
  /** By their names. */
  activities: { [Step in AheadStep]: (argument: never) => Promise<unknown> };
  /** Around each of them, the guard first: what stands around an attempt that Temporal asks for. */
  interceptors: readonly ((context: Context) => ActivityInterceptors)[];
}

/** No further step begins after this long: its workflow then learns of messages, and Temporal of a lost worker, between the steps. */
const beginWithinMs = 2_000;

/**
 * Takes the steps after `ingest` of a small run in the activity of `ingest`, as many as its workflow names. Each is an attempt of its
 * own: its grant is checked, its effect audited, its time measured, its failure recorded. What is saved is the way to the workflow and back,
 * which costs more than such a step.
 *
 * A failure that is to be retried ends this, and nothing is returned of the steps: the workflow then takes them one by one, and those
 * that were done say again what they have said.
 */
export function stepsAhead(context: Context, options: AheadOptions): ActivityInterceptors {
  return {
    inbound: {
      async execute(input, next) {
        const beganMs = performance.now();
        const arrived = await next(input);
        const calls = callsOf(context, input);
        if (calls.length === 0 || !isWhole(arrived)) return arrived;
        const ahead = await take(
          calls,
          () => performance.now() - beganMs < beginWithinMs,
          (step, argument) => attempt(context, options, step, { ...input, args: [argument] }),
        );
        return ahead ? { ...arrived, ahead } : arrived;
      },
    },
  };
}

async function take(
  calls: readonly StepCall[],
  mayBegin: () => boolean,
  call: (step: AheadStep, argument: unknown) => Promise<unknown>,
): Promise<StepsAhead | undefined> {
  const results: StepsAhead['results'] = {};
  for (const [step, argument] of calls) {
    // What `validate` recorded is durable with `transform` (`Stages.record`).
    if (step !== 'transform' && !mayBegin()) break;
    try {
      results[step] = await call(step, argument);
    } catch (error) {
      if (!(error instanceof ApplicationFailure) || !error.nonRetryable) return undefined;
      return { results, failed: { step, code: error.type ?? 'Internal', message: error.message } };
    }
    if (step === 'publish' && (results[step] as { outcome: string }).outcome !== 'published') break;
  }
  return { results };
}

/** The steps find the context of `ingest` by `Context.current()`, and what stands around them that of their own attempt. */
function attempt(
  context: Context,
  { activities, interceptors }: AheadOptions,
  step: AheadStep,
  input: Input,
): Promise<unknown> {
  const info = { ...context.info, activityType: step, attempt: 1 };
  const own: Context = Object.create(context, { info: { value: info } });
  const work = async ({ args }: Input) => activities[step](args[0] as never);
  return interceptors
    .map((create) => create(own).inbound)
    .reduceRight<typeof work>(
      (next, inbound) => async (input) => inbound!.execute!(input, next),
      work,
    )(input);
}

function callsOf({ info }: Context, { args }: Input): readonly StepCall[] {
  const { ahead } = (args[0] ?? {}) as { ahead?: readonly StepCall[] };
  if (info.activityType !== 'ingest' || !Array.isArray(ahead)) return [];
  return ahead.every((call) => Array.isArray(call) && aheadSteps.includes(call[0])) ? ahead : [];
}

/** Whether one batch is the whole input. */
function isWhole(arrived: unknown): arrived is object {
  const { received, inputComplete } = arrived as { received?: unknown; inputComplete?: unknown };
  return received === 1 && inputComplete === true;
}
