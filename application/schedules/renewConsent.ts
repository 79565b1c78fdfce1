import type { ScheduleDraft } from '../../domain/ports/schedules.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { giveConsent, mayConsent } from './consent.ts';
import { rejectOther } from './pauseSchedule.ts';
import {
  active,
  changeOf,
  checkRevision,
  checkTerms,
  draftOf,
  factsOf,
  pipelineOf,
  type SavedSchedule,
  type TermsPorts,
} from './scheduleDraft.ts';

/**
 * The owner consents to a schedule as it is now, by the revision that they were shown. One that was blocked goes on; one that is
 * paused stays paused. Throws `OwnerOnly`, `ScheduleChanged`, and what `checkTerms` throws.
 */
export async function renewConsent(
  ports: TermsPorts & Pick<ApplicationPorts, 'schedules' | 'grantSigner'>,
  options: ApplicationOptions,
  authorization: Authorization,
  { revision, lifetimeS, dryRun }: { revision: number; lifetimeS?: number; dryRun: boolean },
): Promise<SavedSchedule> {
  const { principal, credential } = authorization;
  const schedule = authorization.schedule!;
  if (!mayConsent(principal, schedule.owner)) await rejectOther(ports, authorization, 'OwnerOnly');
  checkRevision(schedule, revision);
  const pipeline = pipelineOf(authorization);
  const allowed = await checkTerms(ports, authorization, pipeline, schedule.terms, lifetimeS);
  if (dryRun) return { schedule, notice: allowed.notice };
  const wasBlocked = schedule.state === 'blocked';
  const draft: ScheduleDraft = {
    ...draftOf(schedule),
    definition: factsOf(pipeline),
    ...(wasBlocked && active),
    fresh: wasBlocked,
  };
  const since = wasBlocked ? {} : { sinceS: Math.floor(Date.parse(schedule.activeSince) / 1000) };
  const consented = await giveConsent(
    ports,
    options,
    { principal, credential, pipeline, draft },
    { ...since, ...(lifetimeS !== undefined && { lifetimeS }) },
  );
  const audit = changeOf('schedule.renewed', authorization, draft, consented, allowed);
  const renewed = await ports.schedules.change(draft, schedule.revision, consented, audit);
  return { schedule: renewed, notice: allowed.notice };
}
