import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import type { DestinationRun, Destinations, FileToWrite } from '../../domain/ports/destinations.ts';

export interface TestedDestination {
  destinations: Destinations;
  run: DestinationRun;
  /** What readers find for a run, without trusting anything but its manifest; `undefined` where there is none. */
  readRun(run: DestinationRun): Promise<{ rows: number; files: Buffer[] } | undefined>;
  /** The names of all that was written for the run. */
  names(run: DestinationRun): Promise<string[]>;
}

/** What every sink outside of the database must do. `open` gives one with nothing written, with runs of its own. */
export function destinationConformance(open: () => Promise<TestedDestination>): void {
  const file = (seq: number, text: string): FileToWrite => ({
    seq,
    rows: text.split('\n').length - 1,
    sizeBytes: Buffer.byteLength(text),
    sha256: createHash('sha256').update(text).digest('hex'),
    async *chunks() {
      const bytes = Buffer.from(text);
      yield bytes.subarray(0, 3);
      yield bytes.subarray(3);
    },
  });
  const one = file(0, '{"id":1}\n{"id":2}\n');
  const two = file(2, '{"id":3}\n');
  const whole = { rows: 3, files: [Buffer.from('{"id":1}\n{"id":2}\n'), Buffer.from('{"id":3}\n')] };

  it('shows a run once all of it is written, and nothing before', async () => {
    const { destinations, run, readRun } = await open();
    await destinations.write(run, one);
    await destinations.write(run, two);
    assert.equal(await readRun(run), undefined);
    await destinations.complete(run, [one, two]);
    assert.deepEqual(await readRun(run), whole);
  });

  it('changes nothing when it is repeated, also after the end, and by several at once', async () => {
    const { destinations, run, readRun, names } = await open();
    const all = async () => {
      await Promise.all([destinations.write(run, one), destinations.write(run, two)]);
      await destinations.complete(run, [one, two]);
    };
    await Promise.all([all(), all(), all()]);
    const before = await names(run);
    await all();
    assert.deepEqual(await names(run), before);
    assert.deepEqual(await readRun(run), whole);
  });

  it('keeps what is there, and says so, where a batch has other bytes', async () => {
    const { destinations, run, readRun } = await open();
    await destinations.write(run, one);
    await assert.rejects(destinations.write(run, file(0, '{"id":9}\n')), { code: 'SinkRejected' });
    await destinations.write(run, two);
    await destinations.complete(run, [one, two]);
    await assert.rejects(destinations.complete(run, [one]), { code: 'SinkRejected' });
    assert.deepEqual(await readRun(run), whole);
  });

  it('keeps runs, pipelines and tenants apart', async () => {
    const { destinations, run, readRun } = await open();
    const others = [
      { ...run, tenant: 'globex' },
      { ...run, pipeline: 'other' },
      { ...run, runId: `${run.runId}0` },
    ];
    await destinations.write(run, one);
    await destinations.complete(run, [one]);
    for (const other of others) {
      assert.equal(await readRun(other), undefined);
      await destinations.write(other, two);
      await destinations.complete(other, [two]);
      assert.equal((await readRun(other))?.rows, 1);
    }
    assert.equal((await readRun(run))?.rows, 2);
  });
}
