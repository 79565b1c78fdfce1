import { type Command, Option } from 'commander';
import { deliveryStates } from '../../domain/webhooks/webhookDelivery.ts';
import type { DeliveryFilter } from '../../sdk/client.ts';
import { asOption, connect, type GlobalOptions } from '../connect.ts';
import type { AddCommand } from '../context.ts';
import { addByIdCommand, paged } from '../options.ts';
import { deliveryLines, deliveryTable } from '../output/deliveryText.ts';
import { pageLines } from '../output/table.ts';
import { printResult } from '../output/terminal.ts';

/** `waybill deliveries [list|get|redeliver]` */
export const addDeliveries: AddCommand = (program, context) => {
  const deliveries = program.command('deliveries').description('list, show and resend webhooks');

  const list = deliveries
    .command('list', { isDefault: true })
    .description('list the webhooks of your tenant, newest first')
    .option('--run <id>', 'only deliveries of this run')
    .addOption(new Option('--state <state>', 'only deliveries in this state').choices(deliveryStates));
  paged(list).action(async (filter: DeliveryFilter, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const page = await connect(context, options).listDeliveries(filter);
    printResult(options.json, page, () => pageLines(page, deliveryTable, 'There are no such deliveries.'));
  });

  addByIdCommand(deliveries, 'get', 'show one delivery').action(async (id: string, _, command: Command) => {
    const options = command.optsWithGlobals<GlobalOptions>();
    const delivery = await connect(context, options).getDelivery(id);
    printResult(options.json, delivery, () => deliveryLines(delivery, Date.now()));
  });

  addByIdCommand(deliveries, 'redeliver', 'send a webhook again that has ended').action(
    async (id: string, _, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions>();
      const delivery = await connect(context, options).redeliver(id);
      printResult(options.json, delivery, () => [
        `${delivery.type} of ${delivery.run ?? delivery.schedule} is sent to ${delivery.to} again. npx waybill deliveries get ${id}${asOption(options)} shows the outcome.`,
      ]);
    },
  );
};
