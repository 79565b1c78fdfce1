import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { z } from 'zod';
import { beginningOf } from '../../domain/runs/run.ts';
import { prepareDefinition } from '../../engine/records/definition.ts';
import { processBatch } from '../../engine/records/processBatch.ts';
import { definePipeline, http, ndjson, postgres, type TransformContext } from '../../sdk/index.ts';

const beganMs = Date.parse('2026-06-15T12:00:00Z');

/** What a run that began then records of the given values of its cursor’s field. */
async function highestOf(at: z.ZodType, records: readonly object[], began: number | undefined = beganMs) {
  const pipeline = definePipeline({
    id: 'changes',
    source: http(ndjson(), { url: 'https://crm.example/', cursor: { field: 'at', parameter: 'since' } }),
    input: z.strictObject({ id: z.int(), at }),
    output: z.strictObject({ id: z.int() }),
    transform: ({ id }: { id: number }, { skip, reject }: TransformContext<unknown>) =>
      id === 7 ? reject('Seven') : id === 8 ? skip('Eight') : { id },
    sink: postgres({ table: 'changes', key: ['id'] }),
  } as never);
  const bytes = Buffer.from(records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  const batch = { seq: 0, digest: '', sizeBytes: bytes.length, firstByte: 0, firstRecord: 0, firstLine: 1 };
  const { validated, transformed } = await processBatch(
    prepareDefinition(pipeline as never),
    { ...batch, records: records.length },
    bytes,
    { transform: { parameters: {}, beganMs: began } },
  );
  assert.equal('highest' in validated, false);
  return [transformed!.highest, transformed!.ahead ?? 0];
}

describe('the highest value of a cursor', () => {
  const instant = z.iso.datetime({ offset: true });

  it('is that of the latest record, wherever it stands', async () => {
    const records = [
      { id: 1, at: '2026-01-01T00:00:00Z' },
      { id: 2, at: '2026-01-01T00:30:00.250-01:00' },
      { id: 3, at: '2026-01-01T01:00:00Z' },
    ];
    assert.deepEqual(await highestOf(instant, records), ['2026-01-01T01:30:00.25Z', 0]);
  });

  it('is not moved by a rejected record, of the schema or of the transform; a filtered one moves it', async () => {
    const records = [
      { id: 1, at: '2026-01-01T00:00:00Z' },
      { id: 'x', at: '2026-01-02T00:00:00Z' },
      { id: 7, at: '2026-01-03T00:00:00Z' },
      { id: 2, at: 'soon' },
      { id: 3 },
    ];
    assert.deepEqual(await highestOf(instant, records), ['2026-01-01T00:00:00Z', 0]);
    assert.deepEqual(await highestOf(instant, [...records, { id: 8, at: '2026-01-01T06:00:00Z' }]), [
      '2026-01-01T06:00:00Z',
      0,
    ]);
  });

  it('never lies after the run began, and says how many records do', async () => {
    const past = { id: 1, at: '2026-06-15T11:59:59.999Z' };
    const future = [
      '9999-12-31T23:59:59Z',
      '2026-06-15T12:05:00.001Z',
      '2026-06-15T12:00:00-08:00',
      '2026-06-16T00:00:00Z',
    ];
    for (const at of future) {
      assert.deepEqual(await highestOf(instant, [{ id: 2, at }, past]), ['2026-06-15T11:59:59.999Z', 1], at);
      assert.deepEqual(await highestOf(instant, [{ id: 2, at }]), [undefined, 1], at);
    }
    // Clocks differ by minutes.
    assert.deepEqual(await highestOf(instant, [past, { id: 2, at: '2026-06-15T12:04:00Z' }]), [
      '2026-06-15T11:59:59.999Z',
      0,
    ]);
    assert.deepEqual(await highestOf(instant, [{ id: 2, at: '2026-06-15T12:00:00Z' }]), [
      '2026-06-15T12:00:00Z',
      0,
    ]);
    const days = ['9999-12-31', '2026-06-16', '2026-06-15', '2026-06-14'].map((at, id) => ({ id, at }));
    assert.deepEqual(await highestOf(z.iso.date(), days), ['2026-06-15', 2]);
    assert.deepEqual(await highestOf(z.coerce.date(), [past, { id: 2, at: '9999-01-01T00:00:00Z' }]), [
      '2026-06-15T11:59:59.999Z',
      1,
    ]);
    assert.deepEqual(await highestOf(z.int(), [{ id: 1, at: 2 ** 53 - 1 }]), ['9007199254740991', 0]);
  });

  it('is nothing where no record has one', async () => {
    assert.deepEqual(await highestOf(instant, [{ id: 1 }]), [undefined, 0]);
  });

  it('knows the beginning of a run by its id', () => {
    assert.equal(beginningOf('changes-0197742e-3c00-7a3b-8c1d-0123456789ab'), 0x0197742e3c00);
    assert.equal(beginningOf('changes-1'), undefined);
  });
});
