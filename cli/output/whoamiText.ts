import { styleText } from 'node:util';
import type { Caller } from '../../sdk/client.ts';
import { plain } from './plain.ts';

/** Who somebody is, in a few words. */
export function callerText({ subject, tenant, roles, actor }: Caller): string {
  const through = actor ? ` through ${plain(actor.subject)}` : '';
  return `${plain(subject)}${through} of ${tenant} (${roles.map(plain).join(', ')})`;
}

export function whoamiLines(caller: Caller): string[] {
  const { id, issuer, subject, kind, tenant, roles, actor } = caller;
  const rows: [string, string][] = [
    ['subject', `${subject} (${kind})`],
    ['tenant', tenant],
    ['roles', roles.join(', ')],
    ...(actor ? ([['actor', `${actor.subject} (${actor.kind})`]] as [string, string][]) : []),
    ['issuer', issuer],
    ['id', id],
  ];
  return rows.map(([name, value]) => `${styleText('dim', name.padEnd(8))} ${plain(value)}`);
}
