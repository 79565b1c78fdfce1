import { styleText } from 'node:util';
import type { Run, RunQuality } from '../../sdk/client.ts';
import { since } from './quantities.ts';
import { type TableColumn, table } from './table.ts';
import { plain } from './terminal.ts';

type Quality = NonNullable<Run['quality']>;

const colours = { passed: 'green', breached: 'red', skipped: 'dim' } as const;
const marks = { passed: '✓', breached: '✗', skipped: '–' } as const;

/** A rule a line: what is asked for, and what was found. */
export function qualityLines({ state, onBreach, rules }: Quality): string[] {
  const then = state === 'breached' ? `, on a breach: ${onBreach}` : '';
  return [
    `quality   ${styleText(colours[state], state)}${then}`,
    ...rules.map(
      ({ rule, state: ofRule, expected, found }) =>
        `  ${styleText(colours[ofRule], `${marks[ofRule]} ${plain(rule)}`)}: ${plain(`${found}; ${expected}`)}`,
    ),
  ];
}

/** A run a line and a rule a column, so that runs can be compared: the share of rows that break it, or its state. */
export function qualityTable(results: readonly RunQuality[], now: number): string[] {
  const names = [...new Set(results.flatMap(({ rules }) => rules.map(({ rule }) => rule)))];
  return table<RunQuality>(
    [
      { title: 'RUN', cell: ({ run }) => run },
      { title: 'VERSION', align: 'right', cell: ({ version }) => String(version) },
      { title: 'STATE', cell: ({ state }) => styleText(colours[state], state) },
      ...names.map(
        (name): TableColumn<RunQuality> => ({
          title: plain(name),
          align: 'right',
          cell: ({ rules }) => ruleCell(rules.find(({ rule }) => rule === name)),
        }),
      ),
      { title: 'MEASURED', align: 'right', cell: ({ measuredAt }) => since(measuredAt, now) },
    ],
    results,
  );
}

function ruleCell(rule: Quality['rules'][number] | undefined): string {
  if (!rule) return '';
  const { state, rows, off } = rule;
  const value =
    off !== undefined && rows
      ? `${Number(((off / rows) * 100).toFixed(2))} %`
      : rows !== undefined && state !== 'skipped'
        ? String(rows)
        : state;
  return state === 'breached' ? styleText('red', value) : value;
}
