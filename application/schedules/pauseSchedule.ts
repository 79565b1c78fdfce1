import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Schedule } from '../../domain/schedules/schedule.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { type ConsentPorts, mayResume, standingConsent } from './consent.ts';
import { active, changeOf, draftOf, pausedBy } from './scheduleDraft.ts';

/** Has a schedule begin nothing until it is resumed. What the owner pauses, only the owner resumes. */
export async function pauseSchedule(
  { schedules }: Pick<ApplicationPorts, 'schedules'>,
  authorization: Authorization,
  note: string | null | undefined,
): Promise<Schedule> {
  const { principal } = authorization;
  const schedule = authorization.schedule!;
  // The owner may pause as their own what another caller has paused before.
  const isOwners = principal.id === schedule.owner.id && schedule.pausedBy?.id !== principal.id;
  if (schedule.state === 'paused' && !isOwners) return schedule;
  const draft = { ...draftOf(schedule), ...pausedBy(principal), note: note ?? schedule.note };
  const audit = changeOf('schedule.paused', authorization, draft, null, authorization);
  return schedules.change(draft, schedule.revision, 'stands', audit);
}

/** Has a paused or blocked schedule go on. Throws `PausedByOwner`, and the code of why the owner’s consent does not hold. */
export async function resumeSchedule(
  ports: ConsentPorts & Pick<ApplicationPorts, 'auditLog'>,
  authorization: Authorization,
): Promise<Schedule> {
  const schedule = authorization.schedule!;
  if (schedule.state === 'active') return schedule;
  if (!mayResume(authorization.principal, schedule)) await rejectOther(ports, authorization, 'PausedByOwner');
  const consent = await standingConsent(ports, schedule);
  if ('code' in consent) throw new WaybillError(consent.code);
  const draft = { ...draftOf(schedule), ...active, fresh: true };
  const audit = changeOf('schedule.resumed', authorization, draft, null, authorization);
  return ports.schedules.change(draft, schedule.revision, 'stands', audit);
}

/** Ends a schedule. Its runs go on. */
export async function deleteSchedule(
  { schedules }: Pick<ApplicationPorts, 'schedules'>,
  authorization: Authorization,
): Promise<void> {
  const schedule = authorization.schedule!;
  const audit = changeOf('schedule.deleted', authorization, draftOf(schedule), null, authorization);
  await schedules.remove(schedule, audit);
}

/** Rejects and audits what only the owner may do. */
export async function rejectOther(
  { auditLog }: Pick<ApplicationPorts, 'auditLog'>,
  { principal, schedule, txn }: Authorization,
  code: 'OwnerOnly' | 'PausedByOwner',
): Promise<never> {
  const detail = { action: 'schedule', resource: 'schedule', schedule: schedule!.id, code };
  await auditLog.append(auditOf({ principal, runId: null, txn }, 'access.denied', detail, 'denied'));
  throw new WaybillError(code);
}
