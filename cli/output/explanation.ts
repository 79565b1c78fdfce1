import { styleText } from 'node:util';
import type { Explanation, PolicyQuery } from '../../sdk/client.ts';
import { plain } from './terminal.ts';

/** Why, why not, and what would be needed. */
export function explanationLines({ action, resource }: PolicyQuery, explanation: Explanation): string[] {
  const { allowed, permits, forbids, errors, roles, changes, digest } = explanation;
  const verdict = allowed ? styleText('green', 'Allowed') : styleText('red', 'Denied');
  return [
    `${verdict}: ${action} on ${plain(nameOf(resource))}, by policy ${digest.slice(0, 12)}.`,
    ...permits.flatMap((permit) => titled(allowed ? 'Because of' : 'Would be allowed by', permit)),
    ...forbids.flatMap((forbid) => titled('Forbidden by', forbid)),
    ...errors.map(({ policy, message }) => plain(`Not evaluated${policy && ` (${policy})`}: ${message}.`)),
    ...(allowed ? [] : [neededText(permits.length > 0, roles, forbids.length > 0, changes)]),
  ];
}

function neededText(
  permitted: boolean,
  roles: readonly string[],
  forbidden: boolean,
  changes: Explanation['changes'],
): string {
  const role = roles.length > 0 ? `the role ${roles.join(' or ')}` : 'another policy, for no role allows it';
  const change = changes.map((one) => changeTexts[one]).join(', or ') || 'another policy';
  return plain(`Needed: ${[...(permitted ? [] : [role]), ...(forbidden ? [change] : [])].join('; and ')}.`);
}

const changeTexts: Record<Explanation['changes'][number], string> = {
  approval: 'an approval in the pipeline',
  'a person alone': 'a person who acts without an agent',
  'another requester': 'a run of another requester',
};

function titled(title: string, { id, text }: Explanation['permits'][number]): string[] {
  return [`${title} ${plain(id)}:`, ...text.split('\n').map((line) => `  ${plainLine(line)}`)];
}

/** Indentation stays; what could move the cursor does not. */
function plainLine(line: string): string {
  const text = line.trimStart();
  return `${' '.repeat(line.length - text.length)}${plain(text)}`.trimEnd();
}

function nameOf(resource: PolicyQuery['resource']): string {
  if (resource.kind === 'tenant') return 'the tenant';
  if (resource.kind === 'instance') return 'this Waybill';
  if (resource.kind === 'pipeline') return `pipeline ${resource.id}`;
  return `${resource.own ? 'their own' : 'another requester’s'} run of ${resource.pipeline}`;
}
