import { z } from 'zod';
import { WaybillError } from './errors.ts';

/** What bounds a tenant, with the bound where the project says nothing. Those `byPipeline` may bound a pipeline of it too. */
export const limitKinds = {
  /** Accepted runs that have not ended. */
  runsInFlight: { max: 10_000, byPipeline: true },
  triggersPerSecond: { max: 1_000, byPipeline: true },
  recordsPerSecond: { max: 1_000_000, byPipeline: true },
  /** Bytes of inputs that are kept. */
  bytesStored: { max: 2 ** 40, byPipeline: false },
  /** Runs that wait for data, which follows in requests of its own. */
  openUploads: { max: 1_000, byPipeline: false },
  /** Event streams at one API. */
  eventStreams: { max: 600, byPipeline: false },
  schedules: { max: 10_000, byPipeline: false },
  standingRevocations: { max: 100_000, byPipeline: false },
  /** Rejected records that wait for repair. */
  openDeadLetters: { max: 10_000_000, byPipeline: true },
} as const satisfies Record<string, { max: number; byPipeline: boolean }>;

export type LimitName = keyof typeof limitKinds;
export const limitNames = Object.keys(limitKinds) as LimitName[];

const bound = z.int().min(0).optional();
const boundsOf = (names: readonly LimitName[]) =>
  Object.fromEntries(names.map((name) => [name, bound])) as Record<LimitName, typeof bound>;
const ofPipeline = z.strictObject(boundsOf(limitNames.filter((name) => limitKinds[name].byPipeline)));
const ofTenant = z.strictObject({
  ...boundsOf(limitNames),
  pipelines: z.record(z.string().min(1), ofPipeline).optional(),
});

/** As a project writes it: for every tenant, and for single ones. */
export const WrittenLimits = z.strictObject({
  default: ofTenant.optional(),
  tenants: z.record(z.string().min(1), ofTenant).optional(),
});
export type WrittenLimits = z.infer<typeof WrittenLimits>;

/** One bound. `tenant` `''` is every tenant, `pipeline` `''` all pipelines of the tenant together. */
export interface Limit {
  tenant: string;
  pipeline: string;
  name: LimitName;
  max: number;
}

/** What a project writes, one by one, in one order. */
export function limitsIn({ default: everyone = {}, tenants = {} }: WrittenLimits): Limit[] {
  const found: Limit[] = [];
  const add = (tenant: string, pipeline: string, bounds: Partial<Record<LimitName, number | undefined>>) => {
    for (const name of limitNames) {
      const max = bounds[name];
      if (max !== undefined) found.push({ tenant, pipeline, name, max });
    }
  };
  for (const [tenant, { pipelines = {}, ...own }] of [['', everyone] as const, ...Object.entries(tenants)]) {
    add(tenant, '', own);
    for (const [pipeline, bounds] of Object.entries(pipelines)) add(tenant, pipeline, bounds);
  }
  return found.sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
}

const idOf = ({ tenant, pipeline, name }: Limit) => `${tenant} ${pipeline} ${name}`;

/** A bound that is in force for a tenant; `pipeline` `null`: for all of its pipelines together. */
export interface EffectiveLimit {
  name: LimitName;
  pipeline: string | null;
  max: number;
}

/** The bounds of a tenant, from those that name it and those that name none. What names it counts. */
export function effectiveLimits(limits: readonly Limit[], tenant: string): EffectiveLimit[] {
  const found = new Map<string, EffectiveLimit>();
  for (const name of limitNames) found.set(` ${name}`, { name, pipeline: null, max: limitKinds[name].max });
  for (const owner of ['', tenant])
    for (const { pipeline, name, max } of limits.filter((limit) => limit.tenant === owner))
      found.set(`${pipeline} ${name}`, { name, pipeline: pipeline || null, max });
  return [...found.values()];
}

/** @param how such as “has 5 of at most 5” */
export function limitReached(
  { name, pipeline }: Pick<EffectiveLimit, 'name' | 'pipeline'>,
  how: string,
  retryAfterMs: number,
): WaybillError {
  const message = `${pipeline === null ? 'The tenant' : `Pipeline ${pipeline}`} ${how} (${name}).`;
  return new WaybillError('LimitReached', { detail: message, issues: [{ path: '', message }], retryAfterMs });
}
