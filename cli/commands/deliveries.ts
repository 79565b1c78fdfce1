import { type Command, Option } from 'commander';
import { deliveryStates } from '../../domain/webhooks/webhookDelivery.ts';
import type { DeliveryFilter } from '../../sdk/client.ts';
import { asOption, connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { byId, paged } from '../options.ts';
import { deliveryLines, deliveryTable } from '../output/deliveryText.ts';
import { pageLines } from '../output/table.ts';
import { printResult } from '../output/terminal.ts';

/** `waybill deliveries [list|get|redeliver]` */
export const addDeliveries: AddCommand = (program, context) => {
  const deliveries = program
    .command('deliveries')
    .description('list, show and repeat the events that callbacks are told');

  const list = deliveries
    .command('list', { isDefault: true })
    .description('the events of your tenant, newest first')
    .option('--run <id>', 'only those of one run')
    .addOption(new Option('--state <state>', 'only those in one state').choices(deliveryStates));
  paged(list).action(async (filter: DeliveryFilter, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const page = await connect(context, options).listDeliveries(filter);
    printResult(options.json, page, () => pageLines(page, deliveryTable, 'There are no such events.'));
  });

  byId(deliveries, 'get', 'everything about one event').action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const delivery = await connect(context, options).getDelivery(id);
    printResult(options.json, delivery, () => deliveryLines(delivery, Date.now()));
  });

  byId(deliveries, 'redeliver', 'send an event again that was given up or delivered').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const delivery = await connect(context, options).redeliver(id);
      printResult(options.json, delivery, () => [
        `${delivery.type} of ${delivery.run ?? delivery.schedule} goes to ${delivery.to} again. npx waybill deliveries get ${id}${asOption(options)} shows how it went.`,
      ]);
    },
  );
};
