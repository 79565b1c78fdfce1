import type { Command } from 'commander';
import type { Limit } from '../../sdk/client.ts';
import type { LimitChange } from '../../sdk/project.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { bytes, count } from '../output/quantities.ts';
import { table } from '../output/table.ts';
import { printResult } from '../output/terminal.ts';

/** `waybill limits`: what bounds the caller's tenant, and how much of it is used. */
export const addLimits: AddCommand = (program, context) => {
  program
    .command('limits')
    .description('list the limits of your tenant, with their use')
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listLimits();
      printResult(options.json, page, () =>
        table<Limit>(
          [
            { title: 'LIMIT', cell: ({ name }) => name },
            { title: 'PIPELINE', cell: ({ pipeline }) => pipeline ?? 'all' },
            { title: 'USED', align: 'right', cell: (limit) => quantity(limit, limit.use) },
            { title: 'AT MOST', align: 'right', cell: (limit) => quantity(limit, limit.max) },
          ],
          page.items,
        ),
      );
    });
};

function quantity({ name }: Limit, n: number | null): string {
  if (n === null) return '';
  return name === 'bytesStored' ? bytes(n) : count(n);
}

/** What `apply` would change of the limits of tenants. */
export function limitLines(changes: readonly LimitChange[]): string[] {
  if (changes.length === 0) return [];
  return [
    '',
    'Limits:',
    ...changes.map(({ tenant, pipeline, name, before, after }) => {
      const of = `${tenant === '' ? 'every tenant' : `tenant ${tenant}`}${pipeline && `, pipeline ${pipeline}`}`;
      return `  ${of}: ${name} ${textOf(before)} → ${textOf(after)}`;
    }),
  ];
}

function textOf(max: number | null): string {
  return max === null ? 'the default' : count(max);
}
