import type { Command } from 'commander';
import type { Key } from '../../sdk/client.ts';
import { connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand, CliContext } from '../context.ts';
import { table } from '../output/table.ts';
import { printResult } from '../output/terminal.ts';

/** `waybill keys [list|rotate]` */
export const addKeys: AddCommand = (program, context) => {
  const keys = program
    .command('keys')
    .description('list and rotate the keys that sign grants; rotate the keys that sign webhooks');

  keys
    .command('list', { isDefault: true })
    .description('list all keys, newest first')
    .action(async (_, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const page = await connect(context, options).listKeys();
      printResult(options.json, page, () => keyTable(page.items));
    });

  keys
    .command('rotate')
    .description('add a key that soon replaces the active one')
    .option('--webhooks', 'rotate the keys that sign webhooks instead')
    .action(async ({ webhooks }: { webhooks?: true }, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      if (webhooks) return rotateWebhooks(context, options);
      const key = await connect(context, options).rotateKeys();
      printResult(options.json, key, () => [
        `${key.kid} signs from ${key.signsFrom} on. Earlier signatures stay valid.`,
      ]);
    });
};

async function rotateWebhooks(context: CliContext, options: GlobalOptions): Promise<void> {
  const key = await connect(context, options).rotateWebhookKeys();
  printResult(options.json, key, () => [
    `${key.id} signs webhooks from now on, together with the previous key until ${key.aloneFrom}.`,
  ]);
}

function keyTable(keys: readonly Key[]): string[] {
  return table<Key>(
    [
      { title: 'KEY', cell: ({ kid }) => kid },
      { title: 'STATE', cell: ({ state }) => state },
      { title: 'CREATED', cell: ({ createdAt }) => createdAt },
      { title: 'SIGNS FROM', cell: ({ signsFrom }) => signsFrom },
      { title: 'RETIRED', cell: ({ retiredAt }) => retiredAt ?? '' },
    ],
    keys,
  );
}
