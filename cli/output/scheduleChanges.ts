import { styleText } from 'node:util';
import type { ScheduleChange, Waiting } from '../../domain/schedules/scheduleDifference.ts';
import { asOwner, type GlobalOptions } from '../connect.ts';
import type { Applied, SchedulePlan } from '../declaredSchedules.ts';
import { whenText } from './scheduleText.ts';
import { plain } from './terminal.ts';

/** As `--json` has it; `null` if the caller is not known. */
export function schedulesJson(plan: SchedulePlan | undefined, applied?: readonly Applied[]) {
  if (!plan) return null;
  const changes = plan.changes.map((change) => ({
    change: change.change,
    id: idOf(change),
    owner: ownerOf(change),
    ...(change.change === 'renew' && { why: change.why }),
    ...(applied && { code: applied.find((one) => one.change === change)?.code ?? null }),
  }));
  const waiting = plan.waiting.map(({ standing: { id, owner }, why }) => ({ id, owner: owner.subject, why }));
  return { changes, waiting };
}

/** What `plan` says: one line a change, with its owner and the consent it needs, and then what waits for other principals. */
export function plannedLines(
  declared: number,
  plan: SchedulePlan | undefined,
  options: GlobalOptions,
): string[] {
  if (!plan) return declared === 0 ? [] : [nobodyLine(declared)];
  const { changes, waiting, me } = plan;
  if (changes.length === 0)
    return declared === 0
      ? []
      : ['The declared schedules are as the project has them.', ...waitingLines(waiting, options)];
  return [
    'Declared schedules:',
    ...changes.map((change) => `  ${signs[change.change]} ${changeText(change, me)}`),
    ...waitingLines(waiting, options),
  ];
}

/** What `apply` says. */
export function appliedLines(
  declared: number,
  plan: SchedulePlan | undefined,
  applied: readonly Applied[],
  options: GlobalOptions,
): string[] {
  if (!plan || applied.length === 0) return plannedLines(declared, plan, options);
  return [
    'Declared schedules:',
    ...applied.map(({ change, code }) => {
      const failed = code === 'NotServed' ? notServed : code && `refused: ${code}`;
      return `  ${code ? '✗' : signs[change.change]} ${changeText(change, plan.me)}${failed ? `. ${failed}` : ''}`;
    }),
    ...waitingLines(plan.waiting, options),
  ];
}

const signs: Record<ScheduleChange['change'], string> = { create: '+', update: '~', renew: '↻', delete: '-' };
const notServed =
  'Not yet: the API serves another definition of the pipeline. Apply again once it serves this one';

function nobodyLine(declared: number): string {
  const some = declared === 1 ? 'a schedule' : `${declared} schedules`;
  return `The project declares ${some}: say who you are (--as NAME, waybill login) to see to that too.`;
}

function waitingLines(waiting: readonly Waiting[], options: GlobalOptions): string[] {
  return waiting.map(({ standing: { id, owner }, why }) =>
    plain(
      `${id} of ${owner.subject} waits: ${why}. For ${owner.subject}: npx waybill schedules renew ${id}${asOwner(owner, options)}`,
    ),
  );
}

function idOf(change: ScheduleChange): string {
  return change.change === 'delete' ? change.standing.id : change.declared.id;
}

function ownerOf(change: ScheduleChange): string | null {
  return change.change === 'create' ? null : change.standing.owner.subject;
}

function changeText(change: ScheduleChange, me: string): string {
  return `${idOf(change)}  ${styleText('dim', what(change, me))}`;
}

function what(change: ScheduleChange, me: string): string {
  if (change.change === 'create') {
    const { timeZone = 'UTC' } = change.declared.terms;
    return `${whenText(change.declared.terms)} ${timeZone}, in your name`;
  }
  const { owner } = change.standing;
  const ownerText = owner.id === me ? 'yours' : `${plain(owner.subject)}’s`;
  if (change.change === 'delete') return `${ownerText}; declared no more`;
  if (change.change === 'renew') return `${ownerText}; needs your consent: ${change.why}`;
  return owner.id === me
    ? 'yours; with that you consent to it'
    : `${ownerText}; begins nothing until ${plain(owner.subject)} consents to it`;
}
