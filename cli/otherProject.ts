import { type PolicySet, policyDifference } from '../domain/policies/policy.ts';
import type { OtherProject } from '../sdk/project.ts';
import type { SchedulePlan } from './declaredSchedules.ts';

export function otherProjectLine(held: string, name: string): string {
  return `The database holds project ${held}. This is project ${name}. Run apply with --replace to replace it.`;
}

/** What a replacement would end, in one line: the declared schedules that the caller sees, and policies. */
export function replacedText(
  { policies }: OtherProject,
  ours: PolicySet,
  plan: SchedulePlan | undefined,
): string {
  const { removed, changed } = policyDifference(policies, ours);
  const ended = plan?.changes.flatMap((one) => (one.change === 'delete' ? [one.standing.id] : [])) ?? [];
  const sentence = (what: string, ids: readonly string[]) =>
    ids.length > 0 ? [`${what}: ${ids.join(', ')}.`] : [];
  return [
    ...(plan ? [] : ['To see which schedules would end, say who you are (--as NAME, waybill login).']),
    ...sentence('Schedules that would end', ended),
    ...sentence('Policies that would be removed', removed),
    ...sentence('Policies that would change', changed),
  ].join(' ');
}
