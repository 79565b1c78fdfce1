import { createHash } from 'node:crypto';
import { describeBinding } from '../domain/contracts/contract.ts';
import type { Definitions } from '../domain/ports/definitions.ts';
import {
  type Declared,
  type ScheduleChange,
  type ScheduleDifference,
  scheduleDifference,
} from '../domain/schedules/scheduleDifference.ts';
import { ProblemError, type Schedule, type WaybillClient } from '../sdk/client.ts';
import { connect, type GlobalOptions, isIdentified } from './connect.ts';
import type { CliContext } from './context.ts';
import { allItems } from './options.ts';

/** The schedules that a project declares against those that there are, as the caller sees them. */
export interface SchedulePlan extends ScheduleDifference {
  client: WaybillClient;
  /** The caller’s id. */
  me: string;
}

/** How many schedules are declared, and what would change; the plan is `undefined` if the caller is not known. */
export async function planSchedules(
  project: Pick<Definitions, 'list'>,
  options: GlobalOptions,
  context: CliContext,
): Promise<{ declared: number; plan: SchedulePlan | undefined }> {
  const declared = declaredIn(project);
  if (!isIdentified(context, options)) return { declared: declared.length, plan: undefined };
  const client = connect(context, options);
  const [{ id: me }, standing] = await Promise.all([client.whoami(), allSchedules(client)]);
  const difference = scheduleDifference(declared, standing, me, Date.now());
  return { declared: declared.length, plan: { ...difference, client, me } };
}

/** A change, and what became of it. */
export interface Applied {
  change: ScheduleChange;
  /** Of the refusal, if there was one; `NotServed`: the API has another definition of the pipeline. */
  code: string | null;
}

/**
 * One change after the other, as the caller. What is refused stops none of the others. A consent is to the pipeline as the API
 * serves it, so a schedule waits where that is not what the project has.
 */
export async function applySchedules({ client, changes }: SchedulePlan): Promise<Applied[]> {
  if (changes.length === 0) return [];
  const { items } = await client.listPipelines();
  const served = new Map(items.map(({ id, definitionDigest }) => [id, definitionDigest]));
  const applied: Applied[] = [];
  for (const change of changes) applied.push({ change, code: await codeOf(client, change, served) });
  return applied;
}

function declaredIn(project: Pick<Definitions, 'list'>): Declared[] {
  return project.list().flatMap((loaded) => {
    const { id, schedules = [] } = loaded.manifest;
    const boundDigest = createHash('sha256').update(describeBinding(loaded)).digest('hex');
    return schedules.map((one) => ({ ...one, pipeline: id, definitionDigest: loaded.digest, boundDigest }));
  });
}

async function codeOf(
  client: WaybillClient,
  change: ScheduleChange,
  served: ReadonlyMap<string, string>,
): Promise<string | null> {
  if (change.change !== 'delete') {
    const { pipeline, definitionDigest } = change.declared;
    if (served.get(pipeline) !== definitionDigest) return 'NotServed';
  }
  try {
    await apply(client, change);
    return null;
  } catch (error) {
    if (error instanceof ProblemError && error.problem.status < 500) return error.problem.code;
    throw error;
  }
}

async function apply(client: WaybillClient, change: ScheduleChange): Promise<void> {
  if (change.change === 'delete') return client.deleteSchedule(change.standing.id);
  const { id, pipeline, terms, note = null } = change.declared;
  if (change.change === 'create') await client.createSchedule({ id, pipeline, terms, note, declared: true });
  else if (change.change === 'renew') await client.renewSchedule(id, change.standing.revision);
  else {
    const { revision } = change.standing;
    await client.updateSchedule(id, { revision, terms, note, declared: true });
  }
}

export function allSchedules(client: WaybillClient): Promise<Schedule[]> {
  return allItems((from) => client.listSchedules({ limit: 100, ...from }));
}
