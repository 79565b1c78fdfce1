import { lookupKeyOf } from '../../domain/pipelines/lookups.ts';
import type { LookupKeys } from '../../domain/ports/compute.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { codeFailure } from './codeFailure.ts';
import type { PreparedDefinition } from './definition.ts';
import { readRecords } from './letterRecords.ts';
import { RecordValidator } from './validateRecords.ts';

/** What a batch has to look up: each key of its valid records once, in their order, with the first record of it. */
export async function lookupKeys(
  definition: PreparedDefinition,
  batch: Batch,
  bytes: Buffer,
  areLetters = false,
): Promise<LookupKeys> {
  const validator = new RecordValidator(definition);
  const { locates } = definition.format.kind;
  const code = definition.pipeline.enrich!;
  const keys = new Map<string, unknown>();
  let records = 0;
  let misses = 0;
  await readRecords(definition, batch, bytes, areLetters, (start, end, at, record) => {
    const place = {
      position: batch.firstRecord + records++,
      line: at,
      byteOffset: batch.firstByte + start,
      byteLength: end - start,
    };
    const value = validator.check(place, record)?.value;
    if (value === undefined) return;
    try {
      const key = lookupKeyOf(code, value);
      if (key === undefined) misses++;
      else if (!keys.has(key)) keys.set(key, value);
    } catch (cause) {
      throw codeFailure('The key of enrich', { place, locates }, cause, value);
    }
  });
  return { validated: validator.finish(records).digest, keys, misses };
}
