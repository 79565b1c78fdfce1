import { auditOf } from '../domain/audit.ts';
import type { Delivery } from '../domain/webhooks/webhookDelivery.ts';
import type { Authorization } from './authorize.ts';
import type { ApplicationPorts } from './ports.ts';

/** Has an event sent again that was given up or delivered, under the same id. Throws `DeliveryPending`. */
export async function redeliver(
  { deliveries }: Pick<ApplicationPorts, 'deliveries'>,
  { principal, run, delivery, policies, policyDigest, txn }: Authorization,
): Promise<Delivery> {
  const { id, type, state } = delivery!;
  const detail = { delivery: id, type, was: state, policies, policyDigest };
  const subject = { principal, runId: run?.id ?? null, txn };
  const audit = auditOf(subject, 'delivery.redelivery-requested', detail);
  return deliveries.redeliver(principal.tenant, id, audit);
}
