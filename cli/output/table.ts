import { stripVTControlCharacters, styleText } from 'node:util';
import type { Page } from '../../sdk/client.ts';

export interface TableColumn<T> {
  title: string;
  align?: 'left' | 'right';
  cell(item: T): string;
}

/** Lines of a table, two spaces between columns, without trailing spaces. */
export function table<T>(columns: readonly TableColumn<T>[], items: readonly T[]): string[] {
  const rows = items.map((item) => columns.map(({ cell }) => cell(item)));
  const titles = columns.map(({ title }) => styleText('dim', title));
  const widths = columns.map((_, i) => Math.max(...[titles, ...rows].map((row) => width(row[i]!))));
  return [titles, ...rows].map((row) =>
    row
      .map((text, i) => padded(text, widths[i]!, columns[i]!.align))
      .join('  ')
      .trimEnd(),
  );
}

function padded(text: string, to: number, align: TableColumn<unknown>['align']): string {
  const space = ' '.repeat(to - width(text));
  return align === 'right' ? space + text : text + space;
}

function width(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** What a page shows, or that there is nothing. */
export function pageLines<T>(
  { items, nextCursor }: Page<T>,
  shown: (items: readonly T[], now: number) => string[],
  nothing: string,
): string[] {
  return items.length === 0 ? [nothing] : [...shown(items, Date.now()), ...moreLines(nextCursor)];
}

export function moreLines(nextCursor: string | null): string[] {
  return nextCursor === null ? [] : ['', `There are more: --cursor ${nextCursor}`];
}
