import { styleText } from 'node:util';
import type { Delivery } from '../../sdk/client.ts';
import { localTime, since } from './quantities.ts';
import { table } from './table.ts';
import { plain } from './terminal.ts';

const colours: Record<Delivery['state'], Parameters<typeof styleText>[0]> = {
  pending: 'cyan',
  delivered: 'green',
  'dead-lettered': 'red',
};

export function deliveryTable(deliveries: readonly Delivery[], now: number): string[] {
  return table<Delivery>(
    [
      { title: 'EVENT', cell: ({ id }) => id },
      { title: 'TYPE', cell: ({ type }) => type },
      { title: 'STATE', cell: stateText },
      { title: 'TO', cell: ({ to }) => plain(to) },
      { title: 'ATTEMPTS', align: 'right', cell: ({ attempts }) => String(attempts) },
      { title: 'LAST', cell: lastText },
      { title: 'SINCE', align: 'right', cell: ({ createdAt }) => since(createdAt, now) },
    ],
    deliveries,
  );
}

/** Everything about one event, for `deliveries get`. */
export function deliveryLines(delivery: Delivery, now: number): string[] {
  const { id, type, run, schedule, to, attempts, lastAttempt, nextAttemptAt, createdAt, endedAt } = delivery;
  const rows: [string, string][] = [
    ['state', stateText(delivery)],
    ['type', type],
    run === null ? ['schedule', schedule ?? ''] : ['run', run],
    ['to', plain(to)],
    ['since', `${localTime(createdAt)} (${since(createdAt, now)})`],
    ['attempts', String(attempts)],
    ...(lastAttempt
      ? [['last', `${localTime(lastAttempt.at)} ${lastText(delivery)}`] as [string, string]]
      : []),
    ...(nextAttemptAt ? [['next', localTime(nextAttemptAt)] as [string, string]] : []),
    ...(endedAt ? [['ended', localTime(endedAt)] as [string, string]] : []),
  ];
  return [
    styleText('bold', id),
    ...rows.map(([name, value]) => `  ${styleText('dim', name.padEnd(9))} ${value}`.trimEnd()),
  ];
}

function stateText({ state }: Delivery): string {
  return styleText(colours[state], state);
}

/** What the receiver answered or, where it did not, what became of the attempt. */
function lastText({ lastAttempt }: Delivery): string {
  if (!lastAttempt) return '';
  const { status, code } = lastAttempt;
  if (status !== null) return String(status);
  return code === null ? 'under way' : plain(code);
}
