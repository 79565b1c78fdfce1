import { styleText } from 'node:util';
import type { AuditEvent, Caller } from '../../sdk/client.ts';
import { requesterText } from './runText.ts';
import { table } from './table.ts';
import { plain } from './terminal.ts';

type Who = AuditEvent['who'];
type Known = Omit<NonNullable<Who>, 'actor'>;

/** Principals by name, and a table of them below: an id tells a reader nothing, and a name alone may be shared. */
export function namesOf(people: readonly Who[]): { name(who: Who, id: string): string; lines: string[] } {
  const known = new Map<string, Known>();
  for (const who of people)
    for (const one of who ? [who, ...(who.actor ? [who.actor] : [])] : []) known.set(one.id, one);
  const all = [...known.values()];
  const isShared = (who: Known) => all.some(({ id, subject }) => id !== who.id && subject === who.subject);
  return {
    name(who, id) {
      if (!who) return plain(id);
      return isShared(who)
        ? `${requesterText({ requestedBy: who })} ${plain(id)}`
        : requesterText({ requestedBy: who });
    },
    lines: all.length === 0 ? [] : ['', ...whoTable(all)],
  };
}

function whoTable(people: readonly Known[]): string[] {
  return table<Known>(
    [
      { title: 'WHO', cell: ({ subject }) => plain(subject) },
      { title: 'IS A', cell: ({ kind }) => kind },
      { title: 'OF', cell: ({ issuer }) => plain(issuer) },
      { title: 'ID', cell: ({ id }) => plain(id) },
    ],
    people,
  );
}

/** A caller in a few words. */
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
