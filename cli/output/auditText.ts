import { styleText } from 'node:util';
import type { AuditEvent, LetterEvent } from '../../sdk/client.ts';
import { localTime } from './quantities.ts';
import { type TableColumn, table } from './table.ts';
import { plain } from './terminal.ts';
import { namesOf } from './whoText.ts';

const colours: Record<AuditEvent['outcome'], Parameters<typeof styleText>[0]> = {
  success: 'green',
  denied: 'red',
  failure: 'red',
};

/** The events of a run, oldest first, and below them the principals that took part. */
export function auditLines(events: readonly AuditEvent[]): string[] {
  return eventLines(events, []);
}

/** The events of a dead letter, of several runs. */
export function historyLines(events: readonly LetterEvent[]): string[] {
  return eventLines(events, [{ title: 'RUN', cell: ({ run }) => run }]);
}

function eventLines<Event extends AuditEvent>(
  events: readonly Event[],
  more: readonly TableColumn<Event>[],
): string[] {
  const { name, lines } = namesOf(events.map(({ who }) => who));
  const happened = table<Event>(
    [
      { title: 'AT', cell: ({ at }) => localTime(at) },
      ...more,
      { title: 'WHAT', cell: ({ action }) => plain(action) },
      { title: 'OUTCOME', cell: ({ outcome }) => styleText(colours[outcome], outcome) },
      { title: 'BY', cell: ({ action, actor, who }) => (actor ? name(who, actor.id) : systemText(action)) },
      { title: 'DETAIL', cell: ({ detail }) => detailText(detail) },
    ],
    events,
  );
  return [...happened, ...lines];
}

/** Timers of an approval act for Waybill; all else without an actor came from outside, such as from Temporal’s command line. */
function systemText(action: string): string {
  return action.startsWith('approval.') ? 'Waybill (timer)' : 'unknown';
}

/** The numbers and codes that fit a line; `--json` has all of it. */
function detailText(detail: Readonly<Record<string, unknown>>): string {
  return Object.entries(detail)
    .filter(([name, value]) => shown(name) && (typeof value === 'string' || typeof value === 'number'))
    .map(([name, value]) => plain(`${name} ${value}`))
    .join(', ')
    .slice(0, 120);
}

function shown(name: string): boolean {
  return !/digest|^(grant|batch|namespace|workflow\w*|activity\w*)$/i.test(name);
}
