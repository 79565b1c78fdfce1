import { styleText } from 'node:util';
import type { PolicyChange } from '../../domain/policies/policyChange.ts';
import type { RoleWithoutPermit } from '../../domain/policies/rolesWithoutPermit.ts';
import type { StrayName } from '../../sdk/project.ts';
import { plain } from './terminal.ts';

/** Fields that are joined in one line where all others are equal, in this order. */
const fields = ['pipeline', 'on', 'action', 'as', 'named', 'role'] as const;

type Line = Pick<PolicyChange, 'change' | 'acrossTenants'> &
  Record<(typeof fields)[number], (string | null)[]>;

/** Changes in as few lines as say all of them, gains first. */
export function changeLines(changes: readonly PolicyChange[]): string[] {
  let lines = changes.map((change): Line => {
    const listed = Object.fromEntries(fields.map((field) => [field, [change[field]]]));
    return { ...change, ...(listed as Pick<Line, (typeof fields)[number]>) };
  });
  for (const field of fields) lines = joined(lines, field);
  return lines.sort((a, b) => (a.change < b.change ? -1 : a.change > b.change ? 1 : 0)).map(textOf);
}

function joined(lines: readonly Line[], field: (typeof fields)[number]): Line[] {
  const alike = Map.groupBy(lines, (line) => JSON.stringify({ ...line, [field]: null }));
  return [...alike.values()].map((group) => ({
    ...group[0]!,
    [field]: group.flatMap((line) => line[field]),
  }));
}

function textOf({ change, acrossTenants, role, as, named, action, on, pipeline }: Line): string {
  const sign = change === 'gains' ? styleText('red', '+ gains') : styleText('green', '- loses');
  const parts = [
    role.map((one) => one ?? 'a principal without a role').join(', '),
    acrossTenants ? ' of another tenant' : '',
    named[0] === null ? '' : ` (${named.join('; ')})`,
    as.length === asAll ? '' : ` as ${as.join(', ')}`,
    `: ${action.join(', ')} on ${on[0] === 'tenant' || on[0] === 'instance' ? on.join(', ') : placeOf(on, pipeline)}`,
  ];
  return `${sign}  ${plain(parts.join(''))}`;
}

/** `pipeline orders`, `runs of orders`, `pipeline and own runs of orders`. */
function placeOf(on: Line['on'], pipeline: Line['pipeline']): string {
  const [others, own] = [on.includes('run'), on.includes('own run')];
  const runs = others && own ? ['runs'] : others ? ['others’ runs'] : own ? ['own runs'] : [];
  const what = [...(on.includes('pipeline') ? ['pipeline'] : []), ...runs].join(' and ');
  return `${what}${runs.length > 0 ? ' of' : ''} ${pipeline.join(', ')}`;
}

/** Person, service, agent, person through an agent: however they act. */
const asAll = 4;

/** Warnings of policies that name a pipeline which is not there. */
export function strayLines(stray: readonly StrayName[]): string[] {
  return stray.map(({ policy, pipeline, nearest }) => {
    const meant = nearest === null ? '' : ` Did you mean "${nearest}"?`;
    return `${styleText('yellow', '!')} ${policy} names the pipeline "${plain(pipeline)}", which the project does not have.${meant}`;
  });
}

/** Warnings of approvals that ask a role which the policy rejects. */
export function rolesWithoutPermitLines(powerless: readonly RoleWithoutPermit[]): string[] {
  return powerless.map(
    ({ pipeline, role }) =>
      `${styleText('yellow', '!')} ${pipeline} asks "${plain(role)}" to decide, and no policy lets that role approve its runs.`,
  );
}
