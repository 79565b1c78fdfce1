import { readFile } from 'node:fs/promises';
import { ndjsonFormat } from '../../connectors/formats/ndjson/index.ts';
import type { Run, WaybillClient } from '../../sdk/client.ts';
import { packageFile } from '../stack/nodeService.ts';
import { type Attack, codeOf } from './attack.ts';
import type { Scene } from './scene.ts';

/** A run of alice’s that goes on until `finish`: the rest of its data is still to come. */
export interface UnfinishedRun {
  id: string;
  finish(): Promise<Run>;
}

/** More than one batch, so that the run is there before its last byte. */
const sizeBytes = 20_000_000;

/** Sends the same order for as long as `finish` is not called. */
export async function openRun(alice: WaybillClient): Promise<UnfinishedRun> {
  const [order] = (await readFile(packageFile('examples/acme/data/orders.ndjson'), 'utf8')).split('\n');
  const chunk = Buffer.from(`${order}\n`.repeat(1_000));
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  async function* orders() {
    for (let sent = 0; sent < sizeBytes; sent += chunk.length) yield chunk;
    await finished;
  }
  const since = new Date().toISOString();
  const answer = alice.upload('orders', orders(), { mediaType: ndjsonFormat.mediaType });
  const run = await Promise.race([begun(alice, since), answer]);
  return {
    id: run.id,
    async finish() {
      finish();
      const { id } = await answer;
      let last: Run | undefined;
      for await (const run of alice.followRun(id)) last = run;
      return last!;
    },
  };
}

async function begun(alice: WaybillClient, since: string): Promise<Run> {
  for (;;) {
    const { items } = await alice.listRuns({ pipeline: 'orders', state: 'running', limit: 5 });
    const run = items.find(({ createdAt }) => createdAt >= since);
    if (run) return run;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** What an attacker who reaches Temporal does to it. It has to end as if nothing had happened. */
export function attacksOn({ id }: UnfinishedRun): readonly Attack[] {
  const adopted = async (scene: Scene, grant: string | undefined) => {
    const handle = scene.temporalWith(grant).workflow.getHandle(id);
    return { code: await codeOf(handle.executeUpdate('waybill-replace-grant')), runId: id };
  };
  return [
    {
      tried: 'an unsigned update that replaces the grant of an open run',
      code: 'GrantMissing',
      attempt: (scene) => adopted(scene, undefined),
    },
    {
      tried: 'the same, with the grant of another run of hers',
      code: 'GrantMismatch',
      attempt: (scene) => adopted(scene, scene.grant),
    },
  ];
}
