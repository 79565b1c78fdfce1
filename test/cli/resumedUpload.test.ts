import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { ObjectStore } from '../../domain/ports/objects.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import type { Run } from '../../sdk/client.ts';
import { type Api, startApi } from '../api/startApi.ts';
import { until } from '../support/until.ts';
import { startWaybill } from './waybillProcess.ts';

describe('waybill trigger with a large file', () => {
  let api: Api;
  let folder: string;
  let takenAt: number[];
  /** Chunks that the API has written, and how often it has noted how far the input is durable. */
  let written = 0;
  let noted = 0;
  let token: string;

  before(async () => {
    takenAt = [];
    api = await startApi({
      change: ({ objects, runInputs }) => ({
        receiver: createReceiver(slow(objects)),
        runInputs: {
          ...runInputs,
          async take(run, holder, position) {
            takenAt.push(position.offsetBytes);
            return runInputs.take(run, holder, position);
          },
          async advance(...progress) {
            await runInputs.advance(...progress);
            noted++;
          },
        },
      }),
    });
    folder = await mkdtemp(join(tmpdir(), 'waybill-resumed-'));
    token = await api.issuer.token();
  });
  after(async () => {
    await api?.stop();
    await rm(folder, { recursive: true });
  });

  /** A network that takes seconds for some megabytes. */
  function slow(objects: ObjectStore): ObjectStore {
    return {
      ...objects,
      async create(scope) {
        const writer = await objects.create(scope);
        return {
          ...writer,
          async write(chunk) {
            await pause(12);
            await writer.write(chunk);
            written++;
          },
        };
      },
    };
  }

  const trigger = (file: string) =>
    startWaybill(['trigger', 'cells', '--file', file, '--json'], {
      WAYBILL_API_URL: api.url,
      WAYBILL_TOKEN: token,
      WAYBILL_HOME: folder,
    });

  async function pinned(id: string): Promise<Buffer> {
    const batches = await api.rows<{ digest: string; bytes: Buffer | null }>(
      'SELECT digest, bytes FROM waybill.batch WHERE run_id = $1 ORDER BY seq',
      [id],
    );
    const scope = { tenant: 'acme', runId: id };
    return Buffer.concat(
      await Promise.all(
        batches.map(async ({ digest, bytes }) => bytes ?? api.ports.objects.get(scope, digest)),
      ),
    );
  }

  it('killed again and again, sends every byte of one run once', async () => {
    const killsMax = 4;
    const file = join(folder, 'cells.csv');
    // The system still hands over some megabytes that a killed client had sent.
    const rows = Array.from({ length: 110_000 }, (_, i) => `row-${i},${'x'.repeat(i % 500)}\n`).join('');
    await writeFile(file, `id,n\n${rows}`);
    for (let kill = 0; kill < killsMax; kill++) {
      const [writtenBefore, notedBefore] = [written, noted];
      const chunks = Math.ceil(Math.random() * 3);
      const command = trigger(file);
      await until('it sends', () => written >= writtenBefore + chunks);
      command.child.kill('SIGKILL');
      await command.ended;
      await until('what came is durable', () => noted > notedBefore);
    }
    const { code, stdout, stderr } = await trigger(file).ended;
    assert.equal(code, 0, stderr);
    const run = JSON.parse(stdout) as Run;
    assert.match(stderr, new RegExp(`Continues ${run.id}`));
    assert.deepEqual(await api.rows('SELECT id, arrival FROM waybill.run'), [
      { id: run.id, arrival: 'sealed' },
    ]);
    assert.equal((await pinned(run.id)).toString() === rows, true);
    assert.ok(takenAt.at(-1)! > 0, takenAt.join(' '));
    assert.deepEqual(
      takenAt,
      takenAt.toSorted((a, b) => a - b),
    );

    // The upload is over: the same file again is another run.
    assert.deepEqual(await readdir(join(folder, 'uploads')), []);
    const again = JSON.parse((await trigger(file).ended).stdout) as Run;
    assert.notEqual(again.id, run.id);
  });
});
