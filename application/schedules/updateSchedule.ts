import { canonicalJson } from '../../domain/canonicalJson.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { ScheduleDraft } from '../../domain/ports/schedules.ts';
import { requesterOf } from '../../domain/principal.ts';
import type { ScheduleTerms } from '../../domain/schedules/schedule.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { giveConsent, mayConsent } from './consent.ts';
import {
  active,
  blockedBy,
  changeOf,
  checkRevision,
  checkTerms,
  draftOf,
  factsOf,
  pipelineOf,
  type SavedSchedule,
  type TermsPorts,
} from './scheduleDraft.ts';

/** What is absent stays as it is. */
export interface ScheduleChange {
  /** Which the caller was shown; needed with `takeOwnership`. */
  revision?: number | undefined;
  terms?: ScheduleTerms | undefined;
  note?: string | null | undefined;
  declared?: boolean | undefined;
  takeOwnership: boolean;
  /** Of the consent; default and maximum: 90 days. */
  lifetimeS?: number;
}

type Ports = TermsPorts & Pick<ApplicationPorts, 'schedules' | 'grantSigner'>;

/**
 * Changes a schedule: merge, and where terms or owner change check, consent, record. The owner consents with the change; a change of
 * another caller blocks the schedule until the owner consents. Throws `ScheduleChanged`, `InvalidRequest`, and what `checkTerms` throws.
 */
export async function updateSchedule(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  wanted: ScheduleChange,
): Promise<SavedSchedule> {
  const schedule = authorization.schedule!;
  checkRevision(schedule, wanted.revision);
  const draft = mergedWith(authorization, wanted);
  if (canonicalJson(draft) === canonicalJson(draftOf(schedule))) return { schedule, notice: null };
  const concernsConsent =
    canonicalJson(draft.terms) !== canonicalJson(schedule.terms) || draft.owner.id !== schedule.owner.id;
  if (concernsConsent) return changeTerms(ports, options, authorization, draft, wanted);
  const audit = changeOf('schedule.changed', authorization, draft, null, authorization);
  const changed = await ports.schedules.change(draft, schedule.revision, 'stands', audit);
  return { schedule: changed, notice: null };
}

function mergedWith({ principal, schedule }: Authorization, wanted: ScheduleChange): ScheduleDraft {
  const before = schedule!;
  const takesOver = wanted.takeOwnership && principal.id !== before.owner.id;
  if (takesOver && wanted.revision === undefined)
    throw new WaybillError('InvalidRequest', { issues: [{ path: '/revision', message: revisionMissing }] });
  return {
    ...draftOf(before),
    ...(wanted.terms && { terms: wanted.terms }),
    ...(wanted.note !== undefined && { note: wanted.note }),
    ...(wanted.declared !== undefined && { declared: wanted.declared }),
    ...(takesOver && { owner: requesterOf({ ...principal, actor: undefined }) }),
  };
}

const revisionMissing = 'Send the revision that you were shown: you consent to all of it.';

async function changeTerms(
  ports: Ports,
  options: ApplicationOptions,
  authorization: Authorization,
  draft: ScheduleDraft,
  wanted: ScheduleChange,
): Promise<SavedSchedule> {
  const { principal, credential } = authorization;
  const { state, revision } = authorization.schedule!;
  const pipeline = pipelineOf(authorization);
  const allowed = await checkTerms(ports, authorization, pipeline, draft.terms, wanted.lifetimeS);
  const consented = mayConsent(principal, draft.owner)
    ? await giveConsent(ports, options, { principal, credential, pipeline, draft }, wanted)
    : null;
  const saved: ScheduleDraft = {
    ...draft,
    definition: factsOf(pipeline),
    ...(state === 'paused' ? {} : consented ? active : blockedBy('ConsentRequired')),
    fresh: true,
  };
  const audit = changeOf('schedule.changed', authorization, saved, consented, allowed);
  const changed = await ports.schedules.change(saved, revision, consented ?? 'ends', audit);
  return { schedule: changed, notice: consented && allowed.notice };
}
