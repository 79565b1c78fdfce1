import { styleText } from 'node:util';
import type { OutputCounts } from '../../domain/runs/outputCounts.ts';
import { hasEnded } from '../../domain/runs/run.ts';
import type { LegalHold, Rejections, Run, WaitingRuns } from '../../sdk/client.ts';
import { qualityLines } from './qualityText.ts';
import { count, duration, localTime, since } from './quantities.ts';
import { type TableColumn, table } from './table.ts';
import { plain } from './terminal.ts';

type State = Run['state'];

const colours: Record<State, Parameters<typeof styleText>[0]> = {
  accepted: 'cyan',
  running: 'cyan',
  'awaiting-approval': 'magenta',
  suspended: 'magenta',
  completed: 'green',
  failed: 'red',
  cancelled: 'yellow',
};

export function stateText(state: State): string {
  return styleText(colours[state], state);
}

export function holdTable(holds: readonly LegalHold[]): string[] {
  return table<LegalHold>(
    [
      { title: 'RUN', cell: ({ run }) => run },
      { title: 'SINCE', cell: ({ placedAt }) => localTime(placedAt) },
      { title: 'BY', cell: ({ placedBy }) => plain(placedBy?.subject ?? '') },
      { title: 'REASON', cell: ({ reason }) => plain(reason) },
    ],
    holds,
  );
}

/** What became of each run with a missing definition. */
export function waitingLines(items: WaitingRuns['items'], dryRun: boolean): string[] {
  if (items.length === 0) return ['No run waits for a definition that is gone.'];
  const done = dryRun ? 'can be' : 'done';
  const lines = table<WaitingRuns['items'][number]>(
    [
      { title: 'RUN', cell: ({ run }) => run },
      { title: 'STATE', cell: ({ state }) => stateText(state) },
      { title: 'RESULT', cell: ({ code, movedTo }) => (code ? styleText('red', code) : (movedTo ?? done)) },
    ],
    items,
  );
  const left = items.filter(({ code }) => code !== null).length;
  return [...lines, ...(left > 0 ? [`Nothing was done to ${count(left)} of ${count(items.length)}.`] : [])];
}

/** One line: what became of it, how long it took and, where it did not succeed, why. */
export function outcomeText(run: Run): string {
  const mark = run.state === 'completed' ? '✓' : hasEnded(run.state) ? '✗' : '…';
  const took = run.endedAt ? ` ${tense[run.state] ?? 'after'} ${tookText(run)}` : '';
  const why = run.reason ? `: ${plain(`${run.reason.code}: ${run.reason.message}`)}` : '';
  return `${styleText(colours[run.state], mark)} ${run.id} ${stateText(run.state)}${took}${why}`;
}

const tense: Partial<Record<State, string>> = { completed: 'in' };

function retryingText({ step, code, message, attempt, nextAttemptAt }: NonNullable<Run['retrying']>): string {
  return plain(`${step} failed ${attempt}×, again at ${localTime(nextAttemptAt)}: ${code}: ${message}`);
}

/** The two sums that every ended run satisfies, aligned below each other. Until then more is read than has come through. */
export function countLines({ counts: c, countsByOutput }: Pick<Run, 'counts' | 'countsByOutput'>): string[] {
  const wide = (...numbers: number[]) => Math.max(...numbers.map((n) => count(n).length));
  const widths = [wide(c.read, c.emitted), wide(c.passed, c.stored), wide(c.filtered, c.unchanged)] as const;
  const line = (sum: string, parts: readonly (readonly [string, number])[], total: number) =>
    `${styleText('dim', sum.padEnd(7))}  ${count(total).padStart(widths[0])} ${styleText('dim', adds(parts, total) ? '=' : '≥')} ${parts
      .map(([name, n], i) => `${name} ${count(n).padStart(widths[i + 1] ?? 0)}`)
      .join(styleText('dim', ' + '))}`;
  return [
    line(
      'read',
      [part('passed', 6, c.passed), part('filtered', 9, c.filtered), ['rejected', c.rejected]],
      c.read,
    ),
    line(
      'emitted',
      [part('stored', 6, c.stored), part('unchanged', 9, c.unchanged), ['deduplicated', c.deduplicated]],
      c.emitted,
    ),
    ...Object.entries(countsByOutput ?? {}).map(([output, own]) => outputText(output, own)),
  ];
}

function outputText(output: string, { emitted, ...own }: OutputCounts): string {
  const parts = Object.entries(own).map(([name, n]) => `${count(n)} ${name}`);
  return `${styleText('dim', plain(output))}: ${count(emitted)} rows, ${parts.join(', ')}`;
}

function adds(parts: readonly (readonly [string, number])[], total: number): boolean {
  return parts.reduce((sum, [, n]) => sum + n, 0) === total;
}

function part(name: string, width: number, n: number): readonly [string, number] {
  return [name.padEnd(width), n];
}

/** What became of a run, with its counts and why records were refused. */
export function endLines(run: Run, rejections: Rejections | undefined): string[] {
  const left = run.leftBytes
    ? [`left     ${count(run.leftBytes)} bytes at the end, which are no complete record yet`]
    : [];
  const below = [...countLines(run), ...left, ...refusedLines(run, rejections), ...ofQuality(run)];
  return [outcomeText(run), ...below.map((line) => `  ${line}`)];
}

function ofQuality({ quality }: Run): string[] {
  return quality ? qualityLines(quality) : [];
}

/** A run that was let pass with nothing but refused records looks like one that went well. */
function refusedLines({ counts }: Run, rejections: Rejections | undefined): string[] {
  const { read, rejected } = counts;
  if (rejected === 0) return [];
  const byCode = Object.entries(rejections?.rejectedByCode ?? {});
  const why = byCode.map(([code, records]) => plain(`${code} ${count(records)}`)).join(', ');
  const [were, all] = [`${count(rejected)} of ${count(read)} records were rejected`, rejected === read];
  return [
    styleText(all ? 'red' : 'yellow', why ? `${were}: ${why}` : were),
    ...(why ? ['  Each is a row of waybill.dead_letter, with its line and what is wrong with it.'] : []),
  ];
}

/** Everything about one run, for `runs get`. */
export function runLines(run: Run, rejections: Rejections | undefined, now: number): string[] {
  const rows: [string, string][] = [
    ['state', stateText(run.state)],
    ...(run.leftBytes
      ? [['left', `${count(run.leftBytes)} bytes, which are no complete record yet`] as [string, string]]
      : []),
    ...(run.retrying ? [['retrying', retryingText(run.retrying)] as [string, string]] : []),
    ...(run.reason
      ? [['reason', plain(`${run.reason.code}: ${run.reason.message}`)] as [string, string]]
      : []),
    ...(run.recordsAhead
      ? [
          [
            'warning',
            `${count(run.recordsAhead)} records lie after the run began. Correct the clock or the data of the source.`,
          ] as [string, string],
        ]
      : []),
    ...(run.unknownFields
      ? [['unknown', `${count(run.unknownFields)} fields that the input does not name`] as [string, string]]
      : []),
    ['pipeline', run.pipeline],
    ['tenant', plain(run.tenant)],
    ['by', requesterText(run)],
    ['accepted', `${localTime(run.createdAt)} (${since(run.createdAt, now)})`],
    ...(run.endedAt ? [['took', tookText(run)] as [string, string]] : []),
    ...(run.gate && !run.links.approval && !hasEnded(run.state)
      ? [['gate', `before ${run.gate}; no approval is requested now`] as [string, string]]
      : []),
    ...(run.links.approval ? [['waits for', `npx waybill approvals get ${run.id}`] as [string, string]] : []),
    ['audit', run.links.audit],
    ...(run.links.temporal ? [['temporal', run.links.temporal] as [string, string]] : []),
  ];
  return [
    styleText('bold', run.id),
    ...rows.map(([name, value]) => `  ${styleText('dim', name.padEnd(9))} ${value}`),
    ...[...countLines(run), ...refusedLines(run, rejections), ...ofQuality(run)].map((line) => `  ${line}`),
  ];
}

export function requesterText({ requestedBy: { subject, kind, actor } }: Pick<Run, 'requestedBy'>): string {
  const who = plain(subject);
  if (actor) return `${plain(actor.subject)} (${actor.kind}) for ${who}`;
  return kind === 'person' ? who : `${who} (${kind})`;
}

/** From its acceptance, because that is what a caller waits for. */
function tookText({ createdAt, endedAt }: Run): string {
  return duration(Date.parse(endedAt!) - Date.parse(createdAt));
}

export function runTable(runs: readonly Run[], now: number): string[] {
  const number = (title: keyof Run['counts']): TableColumn<Run> => ({
    title: title.toUpperCase(),
    align: 'right',
    cell: ({ counts }) => count(counts[title]),
  });
  return table<Run>(
    [
      { title: 'RUN', cell: ({ id }) => id },
      {
        title: 'STATE',
        cell: ({ state, reason }) => stateText(state) + (reason ? ` ${plain(reason.code)}` : ''),
      },
      { title: 'BY', cell: requesterText },
      number('read'),
      number('stored'),
      number('rejected'),
      { title: 'ACCEPTED', align: 'right', cell: ({ createdAt }) => since(createdAt, now) },
      { title: 'TOOK', align: 'right', cell: (run) => (run.endedAt ? tookText(run) : '') },
    ],
    runs,
  );
}

/** The id of the approval that a run waits for. */
export function approvalOf({ links }: Pick<Run, 'links'>): string | undefined {
  return links.approval?.split('/').at(-1);
}
