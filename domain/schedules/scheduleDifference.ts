import { canonicalJson } from '../canonicalJson.ts';
import type { Manifest } from '../pipelines/manifest.ts';
import type { Schedule } from './schedule.ts';

/** A schedule as a project declares it. */
export type Declared = NonNullable<Manifest['schedules']>[number] & {
  pipeline: string;
  /** Of the pipeline, as the project has it. */
  definitionDigest: string;
  /** Of what a consent binds of it. */
  boundDigest: string;
};

export type Standing = Pick<
  Schedule,
  'id' | 'pipeline' | 'terms' | 'note' | 'declared' | 'owner' | 'delegation' | 'reason' | 'revision'
> & { state: Schedule['state'] | 'stalled' };

/**
 * - `create`: the caller that applies it becomes its owner;
 * - `update`: it stays its owner’s, who has to consent to what it does then;
 * - `renew`: its owner’s consent does not cover what it does, or ends soon;
 * - `delete`: the project declares it no more.
 */
export type ScheduleChange =
  | { change: 'create'; declared: Declared }
  | { change: 'update'; declared: Declared; standing: Standing }
  | { change: 'renew'; declared: Declared; standing: Standing; why: string }
  | { change: 'delete'; standing: Standing };

/** What waits for its owner, or for the reason to be fixed. */
export interface Waiting {
  standing: Standing;
  why: string;
}

export interface ScheduleDifference {
  changes: ScheduleChange[];
  waiting: Waiting[];
}

/** A consent that ends within this time is renewed with the next `apply` of its owner. */
const soonMs = 14 * 86_400_000;

/**
 * What stands between the schedules that a project declares and those that there are, for `me` to apply; empty once that is done.
 * Schedules that were created by hand are left alone, but for one that has the id of a declared one.
 */
export function scheduleDifference(
  declared: readonly Declared[],
  standing: readonly Standing[],
  me: string,
  nowMs: number,
): ScheduleDifference {
  const byId = new Map(standing.map((one) => [one.id, one]));
  const difference: ScheduleDifference = { changes: [], waiting: [] };
  for (const one of declared) add(difference, one, byId.get(one.id), me, nowMs);
  const wanted = new Set(declared.map(({ id }) => id));
  for (const one of standing)
    if (one.declared && !wanted.has(one.id)) difference.changes.push({ change: 'delete', standing: one });
  return difference;
}

function add(
  { changes, waiting }: ScheduleDifference,
  declared: Declared,
  standing: Standing | undefined,
  me: string,
  nowMs: number,
): void {
  if (!standing) return void changes.push({ change: 'create', declared });
  if (standing.pipeline !== declared.pipeline) return void waiting.push({ standing, why: 'ScheduleExists' });
  if (differs(declared, standing)) return void changes.push({ change: 'update', declared, standing });
  const why = consentLacks(declared, standing, nowMs);
  if (why === undefined) {
    if (standing.state === 'blocked') waiting.push({ standing, why: standing.reason!.code });
  } else if (standing.owner.id === me) changes.push({ change: 'renew', declared, standing, why });
  else if (why !== 'DelegationEndsSoon') waiting.push({ standing, why });
}

function differs({ terms, note }: Declared, standing: Standing): boolean {
  const { terms: now, note: noted, declared } = standing;
  return !declared || canonicalJson([terms, note ?? null]) !== canonicalJson([now, noted]);
}

/** Reasons for which a schedule is blocked, and which end with a consent. */
const consentReasons = new Set([
  'ConsentRequired',
  'DefinitionChanged',
  'DelegationExpired',
  'DelegationInvalid',
  'DelegationRevoked',
]);

function consentLacks(
  { definitionDigest, boundDigest }: Declared,
  { delegation, reason, state }: Standing,
  nowMs: number,
): string | undefined {
  if (state === 'blocked' && reason && consentReasons.has(reason.code)) return reason.code;
  if (!delegation) return 'ConsentRequired';
  if (delegation.definitionDigest !== definitionDigest && delegation.boundDigest !== boundDigest)
    return 'DefinitionChanged';
  const leftMs = Date.parse(delegation.expiresAt) - nowMs;
  if (leftMs <= 0) return 'DelegationExpired';
  return leftMs < soonMs ? 'DelegationEndsSoon' : undefined;
}
