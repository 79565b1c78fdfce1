import type { ClientBase } from 'pg';

/** Once its transaction has committed, some relay looks what there is to carry. */
export async function wakeRelay(client: ClientBase): Promise<void> {
  await client.query(`SELECT pg_notify('waybill_outbox', '')`);
}
