import { type LimitName, limitReached } from '../../domain/limits.ts';
import type { ApplicationPorts } from '../ports.ts';
import type { RunCaller } from './runDraft.ts';

/** What a run needs room for before any of its data is received. How many are in flight, its acceptance counts. */
const needed: readonly LimitName[] = ['bytesStored', 'openDeadLetters'];

/**
 * Throws `LimitReached` where the caller's tenant, or the pipeline within it, has no room for a run more, or too many are triggered in a
 * second. Called once it is known that the request is no repeated one. `except`: what the run itself makes less.
 */
export async function checkLimits(
  { limits, limitedRates }: Pick<ApplicationPorts, 'limits' | 'limitedRates'>,
  { principal: { tenant }, pipeline }: Pick<RunCaller, 'principal' | 'pipeline'>,
  except?: LimitName,
): Promise<void> {
  const { id } = pipeline.manifest;
  const standing = (await limits.read(tenant)).filter((limit) => (limit.pipeline ?? id) === id);
  const full = standing.find(({ name, use, max }) => needed.includes(name) && name !== except && use! >= max);
  if (full) throw limitReached(full, `has ${full.use} of at most ${full.max}`, 60_000);
  await limitedRates.take({ tenant, pipeline: id }, 'triggersPerSecond', 1);
}

/** Throws `LimitReached` where no more runs of the tenant may wait for their data. */
export async function checkOpenUploads(
  { limits }: Pick<ApplicationPorts, 'limits'>,
  { tenant }: RunCaller['principal'],
): Promise<void> {
  const limit = (await limits.read(tenant)).find(({ name }) => name === 'openUploads')!;
  if (limit.use! >= limit.max) throw limitReached(limit, `has ${limit.use} of at most ${limit.max}`, 60_000);
}
