import { Gauge, type Registry } from 'prom-client';
import type { BacklogName, BacklogValue, ReadBacklog } from '../../domain/ports/backlog.ts';

const gauges: Record<BacklogName, { help: string; label?: 'state' | 'code' }> = {
  runs_open: { help: 'Runs that have not ended, by state.', label: 'state' },
  runs_suspended: { help: 'Runs that wait for a right or a definition, by code.', label: 'code' },
  approvals_waiting: { help: 'Approvals that wait for a decision.' },
  approvals_oldest_seconds: { help: 'Age of the approval that has waited longest.' },
  outbox_entries: { help: 'Messages to Temporal that the relay has not delivered.' },
  outbox_oldest_seconds: { help: 'Age of the oldest message that the relay has not delivered.' },
  deliveries_pending: { help: 'Events that their receivers have not taken.' },
};

/**
 * What waits, read from the database when Prometheus asks. All workers see the same, so take the maximum over them. While the
 * database does not answer, these gauges have no value, and `waybill_backlog_up` is 0.
 */
export function measureBacklog(registry: Registry, read: ReadBacklog): void {
  let reading: Promise<BacklogValue[] | undefined> | undefined;
  // All gauges are collected at the same time, from one answer.
  const readOnce = () => {
    reading ??= read()
      .catch(() => undefined)
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
  const registers = [registry];
  new Gauge({
    name: 'waybill_backlog_up',
    help: 'Whether the database told what waits.',
    registers,
    async collect() {
      this.set((await readOnce()) ? 1 : 0);
    },
  });
  for (const [name, { help, label }] of Object.entries(gauges)) {
    new Gauge({
      name: `waybill_${name}`,
      help,
      labelNames: label ? [label] : [],
      registers,
      async collect() {
        const values = await readOnce();
        this.reset();
        if (!label && !values) this.remove();
        for (const value of values?.filter((one) => one.name === name) ?? [])
          this.set(label ? { [label]: value.label } : {}, value.value);
      },
    });
  }
}
