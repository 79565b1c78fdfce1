import { randomBytes } from 'node:crypto';
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
  checkDraft,
  factsOf,
  pausedBy,
  type SavedSchedule,
  type TermsPorts,
} from './scheduleDraft.ts';

export interface NewSchedule {
  /** Default: the pipeline and a few letters. */
  id?: string | undefined;
  pipeline: string;
  terms: ScheduleTerms;
  note: string | null;
  declared: boolean;
  paused: boolean;
  /** Of the consent; default and maximum: 90 days. */
  lifetimeS?: number;
}

/**
 * Saves a schedule of the caller, who consents with it: check, draft, consent, record. Through an agent it is saved blocked, until the
 * owner consents. Throws what `checkDraft` throws, and `ScheduleExists`.
 */
export async function createSchedule(
  ports: TermsPorts & Pick<ApplicationPorts, 'definitions' | 'schedules' | 'grantSigner'>,
  options: ApplicationOptions,
  authorization: Authorization,
  wanted: NewSchedule,
): Promise<SavedSchedule> {
  const { principal, credential } = authorization;
  const { pipeline, allowed } = await checkDraft(ports, authorization, wanted);
  const draft: ScheduleDraft = {
    tenant: principal.tenant,
    id: wanted.id ?? `${wanted.pipeline}-${randomBytes(4).toString('hex')}`,
    pipeline: wanted.pipeline,
    definition: factsOf(pipeline),
    terms: wanted.terms,
    note: wanted.note,
    declared: wanted.declared,
    owner: requesterOf({ ...principal, actor: undefined }),
    ...(wanted.paused ? pausedBy(principal) : active),
    fresh: true,
  };
  const consented = mayConsent(principal, principal)
    ? await giveConsent(ports, options, { principal, credential, pipeline, draft }, wanted)
    : null;
  const saved = consented || wanted.paused ? draft : { ...draft, ...blockedBy('ConsentRequired') };
  const audit = changeOf('schedule.created', authorization, saved, consented, allowed);
  const schedule = await ports.schedules.create(saved, consented, audit);
  return { schedule, notice: consented && allowed.notice };
}
