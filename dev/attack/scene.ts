import { randomUUID } from 'node:crypto';
import { Client, Connection, type WorkflowStartOptions } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import type { DevJson } from '../../cli/embedded/devJson.ts';
import { obtainToken } from '../../cli/embedded/obtainToken.ts';
import { grantHeader } from '../../domain/grants/grantHeader.ts';
import type { Run } from '../../sdk/client.ts';
import { clientWithGrant } from './clientWithGrant.ts';
import { createForger, type Forger } from './invalidTokens.ts';
import { type AttackedRows, openLedger } from './ledger.ts';

/** What an attacker in the embedded stack has: the API, Temporal, an ended run of alice’s, and copies of its grant and input. */
export interface Scene {
  dev: DevJson;
  forger: Forger;
  ledger: AttackedRows;
  victim: Run;
  /** The grant of that run, as it lies in Temporal’s history. */
  grant: string;
  /** Alice’s access token, for the forger to work on. */
  token: string;
  /** What the API answers: the code of its rejection, or `undefined`. */
  ask(path: string, token: string | undefined, init?: RequestInit): Promise<string | undefined>;
  /** A client of Temporal’s that sends this grant with everything. */
  temporalWith(grant: unknown): Client;
  /** Starts the workflow as Waybill would, under that id, with a copy of the victim’s input. */
  startOf(workflowId: string): WorkflowStartOptions & { workflowId: string; args: unknown[] };
  /** A workflow id for one attack. The ledger looks for its traces afterwards. */
  freshId(): string;
  close(): Promise<void>;
}

export async function openScene(dev: DevJson, victim: Run): Promise<Scene> {
  const connection = await Connection.connect({ address: dev.temporalAddress });
  const ledger = openLedger(dev.databaseUrl, victim.id);
  const { events } = await new Client({ connection }).workflow.getHandle(victim.id).fetchHistory();
  const { header, input } = events![0]!.workflowExecutionStartedEventAttributes!;
  const { token } = await obtainToken(dev.issuerUrl, 'alice');
  return {
    dev,
    forger: await createForger(),
    ledger,
    victim,
    grant: String(defaultPayloadConverter.fromPayload(header!.fields![grantHeader]!)),
    token,
    async ask(path, token, init = {}) {
      const headers = { ...init.headers, ...(token !== undefined && { authorization: `Bearer ${token}` }) };
      const response = await fetch(new URL(path, dev.apiUrl), { ...init, headers });
      if (response.ok) return undefined;
      return ((await response.json()) as { code: string }).code;
    },
    temporalWith: (grant) => clientWithGrant(connection, grant),
    startOf(workflowId) {
      const copied = defaultPayloadConverter.fromPayload(input!.payloads![0]!) as object;
      const args = [{ ...copied, runId: workflowId }];
      return { workflowId, taskQueue: 'waybill', args, workflowExecutionTimeout: '60 s' };
    },
    freshId() {
      const id = `${victim.pipeline}-by-hand-${randomUUID()}`;
      ledger.watch(id);
      return id;
    },
    async close() {
      await connection.close();
      await ledger.close();
    },
  };
}
