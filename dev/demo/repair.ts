import { CliError } from '../../cli/context.ts';
import type { DeadLetterDetail, Run, WaybillClient } from '../../sdk/client.ts';
import { followUntil } from './followUntil.ts';

/** How a rejected order was repaired. */
export interface Repaired {
  letter: DeadLetterDetail;
  /** The run that stored it. */
  redrive: Run;
}

/**
 * Has `steward` look at the order with its price as text, write that as a number, and send the order again. Reports each
 * step to `say`.
 */
export async function repairOrder(
  steward: WaybillClient,
  runId: string,
  say: (line: string) => void,
): Promise<Repaired> {
  const { items } = await steward.listDeadLetters({ run: runId, code: 'SchemaMismatch' });
  if (!items[0]) throw new CliError(`${runId} has no order with a price as text.`);
  const letter = await steward.getDeadLetter(items[0].id);
  const raw = letter.value?.raw;
  if (!raw || !('text' in raw)) throw new CliError(`The bytes of ${letter.id} are not kept.`);
  const order = JSON.parse(raw.text);
  const [line] = order.lines;
  say(`bob may see the order, and that is on record. Its price is the text "${line.unit_price_cents}".`);
  line.unit_price_cents = Number(line.unit_price_cents);
  const { outcome } = await steward.repairDeadLetter(letter.id, { record: order });
  say(
    `He writes it as a number, and Waybill tries the order at once: ${outcome.rows.length} row would be stored.`,
  );
  const { id } = await steward.redriveDeadLetters({ ids: [letter.id], reason: 'waybill demo' });
  const redrive = await followUntil(steward, id, () => false);
  const after = await steward.getDeadLetter(letter.id, { value: false });
  say(`He sends it again, as a run under his own grant (${id}). The dead letter is ${after.state}.`);
  return { letter: after, redrive };
}
