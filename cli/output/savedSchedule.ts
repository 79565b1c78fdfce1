import type { Schedule } from '../../sdk/client.ts';
import { asOwner, type GlobalOptions } from '../connect.ts';

/** What a schedule is once it was saved, and whose turn it is where it waits. */
export function savedLines(schedule: Schedule, options: GlobalOptions): string[] {
  const { id, state, reason, owner, delegation } = schedule;
  const who = owner.subject;
  if (state === 'blocked' && reason?.code === 'ConsentRequired')
    return [
      `Saved as ${id}. It waits for the consent of ${who}: npx waybill schedules renew ${id}${asOwner(owner, options)}`,
    ];
  if (state !== 'active') return [`Saved as ${id}, which is ${state}.`];
  return [
    `${id} runs in the name of ${who}, until ${delegation?.expiresAt.slice(0, 10)} unless they renew it.`,
  ];
}
