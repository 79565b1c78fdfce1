import { styleText } from 'node:util';
import type {
  DeadLetter,
  DeadLetterDetail,
  DeadLetterGroup,
  RepairedLetter,
  RepairStep,
} from '../../sdk/client.ts';
import { count, localTime, since } from './quantities.ts';
import { table } from './table.ts';
import { plain } from './terminal.ts';

const colours: Record<DeadLetter['state'], Parameters<typeof styleText>[0]> = {
  open: 'red',
  repaired: 'yellow',
  redriving: 'cyan',
  resolved: 'green',
  discarded: 'dim',
};

export function letterTable(letters: readonly DeadLetter[], now: number): string[] {
  return table<DeadLetter>(
    [
      { title: 'DEAD LETTER', cell: ({ id }) => id },
      { title: 'STATE', cell: stateText },
      { title: 'CODE', cell: ({ code }) => plain(code) },
      { title: 'PATH', cell: ({ path }) => plain(path) },
      { title: 'LINE', align: 'right', cell: ({ line }) => count(line) },
      { title: 'RUN', cell: ({ run }) => run },
      { title: 'ATTEMPTS', align: 'right', cell: ({ attempt }) => String(attempt) },
      { title: 'REJECTED', align: 'right', cell: ({ createdAt }) => since(createdAt, now) },
    ],
    letters,
  );
}

export function groupTable(groups: readonly DeadLetterGroup[]): string[] {
  const fields = Object.keys(groups[0]?.by ?? {});
  return table<DeadLetterGroup>(
    [
      ...fields.map((field) => ({
        title: field.toUpperCase(),
        cell: ({ by }: DeadLetterGroup) => plain(by[field] || '-'),
      })),
      { title: 'LETTERS', align: 'right' as const, cell: ({ letters }) => count(letters) },
      { title: 'EXAMPLE', cell: ({ example }) => example ?? '' },
    ],
    groups,
  );
}

export function letterLines(letter: DeadLetterDetail, now: number): string[] {
  const { id, run, pipeline, version, attempt, code, path, message, line, rowGroup } = letter;
  const { source, createdAt, edited, discarded, redrive, value } = letter;
  const where = rowGroup === undefined ? `line ${line}` : `row ${line} of row group ${rowGroup}`;
  const rows: [string, string][] = [
    ['state', `${stateText(letter)}, attempt ${attempt}`],
    ['run', run],
    ['pipeline', `${pipeline}, version ${version}`],
    ['where', source ? `${where} of ${plain(source)}` : where],
    ['why', plain(`${code}${path && ` at ${path}`}: ${message}`)],
    ['rejected', `${localTime(createdAt)} (${since(createdAt, now)})`],
    ...(edited
      ? [['edited', `by ${plain(edited.by?.subject ?? '?')}, ${since(edited.at, now)}`] as [string, string]]
      : []),
    ...(discarded
      ? [['discarded', plain(`by ${discarded.by?.subject ?? '?'}: ${discarded.reason}`)] as [string, string]]
      : []),
    ...(redrive ? [['redrive', redrive] as [string, string]] : []),
    ...valueRows(value),
  ];
  return [
    styleText('bold', id),
    ...rows.map(([name, text]) => `  ${styleText('dim', name.padEnd(9))} ${text}`),
  ];
}

function valueRows(value: DeadLetterDetail['value']): [string, string][] {
  if (!value) return [];
  const { raw, edit } = value;
  const text =
    'text' in raw ? plain(raw.text) : 'base64' in raw ? `${raw.base64} (base64)` : 'too large to be shown';
  return [['record', text], ...(edit ? [['edit', plain(edit.text)] as [string, string]] : [])];
}

export function repairLines({ kept, letter, outcome }: RepairedLetter): string[] {
  const fits =
    outcome.kind === 'filtered'
      ? 'The pipeline leaves the edited record out.'
      : `The edited record fits: ${count(outcome.rows.length)} rows would be stored.`;
  const rows = outcome.rows.map((row) =>
    plain(
      `  ${Object.entries(row)
        .map(([name, text]) => `${name}: ${text ?? 'NULL'}`)
        .join(', ')}`,
    ),
  );
  return [
    fits,
    ...rows,
    kept ? `${letter.id} is ${stateText(letter)}.` : 'Nothing is kept: it was a dry run.',
  ];
}

export function ruleLines({ dryRun, letters, repaired, untouched, failing }: RepairStep): string[] {
  const fit = `${count(repaired)} of ${count(letters)} dead letters ${dryRun ? 'would fit' : 'are edited and fit now'}.`;
  return [
    fit,
    ...(untouched > 0 ? [`The rule does not apply to ${count(untouched)}.`] : []),
    ...failing.map(({ code, path, letters: n, example }) =>
      plain(`${count(n)} still do not: ${code}${path && ` at ${path}`}, such as ${example}`),
    ),
  ];
}

function stateText({ state }: Pick<DeadLetter, 'state'>): string {
  return styleText(colours[state], state);
}
