import { proxyActivities } from '@temporalio/workflow';

interface Steps {
  ingest(): Promise<void>;
  validate(): Promise<void>;
  transform(): Promise<void>;
  store(): Promise<void>;
}

const { ingest, validate, transform, store } = proxyActivities<Steps>({ startToCloseTimeout: '5m' });

/** Four activities that do nothing: what Temporal itself takes for a run of four steps. */
export async function bare(): Promise<void> {
  await ingest();
  await validate();
  await transform();
  await store();
}
