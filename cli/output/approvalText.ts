import { styleText } from 'node:util';
import type { Approval, ApprovalDetail, Sample } from '../../sdk/client.ts';
import { qualityLines } from './qualityText.ts';
import { count, localTime, since } from './quantities.ts';
import { countLines, requesterText } from './runText.ts';
import { table } from './table.ts';
import { plain } from './terminal.ts';

const colours: Record<Approval['state'], Parameters<typeof styleText>[0]> = {
  pending: 'magenta',
  approved: 'green',
  rejected: 'red',
  expired: 'yellow',
  void: 'dim',
  cancelled: 'yellow',
  waived: 'dim',
};

export function approvalTable(approvals: readonly Approval[], now: number): string[] {
  return table<Approval>(
    [
      { title: 'APPROVAL', cell: ({ id }) => id },
      { title: 'STATE', cell: stateText },
      { title: 'PIPELINE', cell: ({ pipeline }) => pipeline },
      { title: 'FOR', cell: requesterText },
      { title: 'BY', cell: ({ by }) => plain(by.join(', ')) },
      { title: 'APPROVED', align: 'right', cell: (one) => `${approvedBy(one)} of ${one.quorum}` },
      { title: 'ROWS', align: 'right', cell: ({ counts }) => count(counts.emitted) },
      { title: 'ASKED', align: 'right', cell: ({ createdAt }) => since(createdAt, now) },
    ],
    approvals,
  );
}

/** What an approver needs to know before the decision. */
export function approvalLines(approval: ApprovalDetail, sample: Sample | undefined, now: number): string[] {
  const { id, run, round, shown, by, quorum, digest, createdAt, expiresAt, endedAt, form } = approval;
  const rows: [string, string][] = [
    ['state', stateText(approval)],
    ['run', run],
    ['for', requesterText(approval)],
    [
      'before',
      `${shown.gate}${round > 1 ? ` (asked for the ${ordinal(round)} time: the data changed)` : ''}`,
    ],
    ['asked', `${localTime(createdAt)} (${since(createdAt, now)})`],
    endedAt === null ? ['until', localTime(expiresAt)] : ['ended', localTime(endedAt)],
    [
      'by',
      `${plain(by.join(' or '))}; ${approvedBy(approval)} of ${quorum} ${quorum > 1 ? 'have' : 'has'} approved`,
    ],
    ...(form ? [['form', plain(formText(form))] as [string, string]] : []),
    ['digest', digest],
  ];
  return [
    styleText('bold', id),
    ...rows.map(([name, value]) => named(name, value)),
    ...(shown.counts.read > 0 ? [`  ${countLines(shown)[0]!}`] : []),
    ...changeLines(approval),
    ...(shown.quality ? qualityLines(shown.quality).map((line) => `  ${line}`) : []),
    ...approval.decisions.map((one) => `  ${decisionText(one, now)}`),
    ...(sample ? ['', ...sampleLines(sample)] : []),
  ];
}

function named(name: string, value: string): string {
  return `  ${styleText('dim', name.padEnd(9))} ${value}`;
}

function changeLines({ shown: { changes, changesByOutput, rejectedByCode } }: ApprovalDetail): string[] {
  const rejected = Object.entries(rejectedByCode).map(([code, n]) => `${plain(code)} ${count(n)}`);
  const textOf = (one: NonNullable<typeof changes>) =>
    Object.entries(one)
      .map(([what, n]) => `${count(n)} ${what}`)
      .join(', ');
  const byOutput = Object.entries(changesByOutput ?? {});
  return [
    ...(changes ? [named('rows', textOf(changes))] : []),
    ...byOutput.map(([output, own]) => named(plain(output), textOf(own))),
    ...(rejected.length > 0 ? [named('rejected', rejected.join(', '))] : []),
  ];
}

function decisionText(
  { by, decision, at, comment, counted, code }: Approval['decisions'][number],
  now: number,
) {
  const became = code
    ? ` and was refused: ${plain(code)}`
    : counted === null
      ? ', on its way to the run'
      : '';
  const said = comment === null ? '' : `: “${plain(comment)}”`;
  const mark = styleText(decision === 'approve' ? 'green' : 'red', decision === 'approve' ? '✓' : '✗');
  return `${mark} ${plain(by.subject)} decided to ${decision} ${since(at, now)}${became}${said}`;
}

/** The first of the rows that would be published, cut to what fits. */
function sampleLines({ rows }: Sample): string[] {
  const byOutput = [...Map.groupBy(rows, ({ _output }) => _output ?? '')];
  return byOutput.flatMap(([output, own]) => {
    const names = Object.keys(own[0]!).filter((name) => name !== '_output');
    const columns = names.map((name) => ({
      title: plain(name),
      cell: (row: Sample['rows'][number]) => cut(row[name] ?? ''),
    }));
    const title = output === '' ? [] : [`  ${styleText('dim', plain(output))}`];
    return [...title, ...table(columns, own).map((line) => `  ${line}`)];
  });
}

const cellMax = 24;

function cut(text: string): string {
  const [...letters] = plain(text);
  return letters.length > cellMax ? `${letters.slice(0, cellMax - 1).join('')}…` : letters.join('');
}

/** How many principals have approved so far, with a decision that counts or is on its way. */
export function approvedBy({ decisions }: Pick<Approval, 'decisions'>): number {
  return decisions.filter(({ decision, counted }) => decision === 'approve' && counted !== false).length;
}

function stateText({ state }: Approval): string {
  return styleText(colours[state], state);
}

/** The fields of a form (JSON Schema), each with its constraints. */
export function formText(form: Readonly<Record<string, unknown>>): string {
  const { properties = {}, required = [] } = form as {
    properties?: Record<string, Record<string, unknown>>;
    required?: string[];
  };
  return Object.entries(properties)
    .map(([name, { type, enum: choices, const: only, ...rest }]) => {
      const what = Array.isArray(choices) ? choices.join(' | ') : (only ?? type ?? 'any');
      const constraints = Object.entries(rest)
        .filter(([, value]) => typeof value === 'string' || typeof value === 'number')
        .map(([constraint, value]) => `${constraint} ${value}`);
      const optional = required.includes(name) ? [] : ['optional'];
      return `${name} (${[what, ...constraints, ...optional].join(', ')})`;
    })
    .join(', ');
}

function ordinal(n: number): string {
  return `${n}${n === 2 ? 'nd' : n === 3 ? 'rd' : 'th'}`;
}
