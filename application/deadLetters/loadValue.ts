import type { LetterValue } from '../../domain/deadLetters/deadLetter.ts';
import type { StoredLetter } from '../../domain/ports/deadLetters.ts';
import type { ApplicationPorts } from '../ports.ts';

/** Reads the bytes of a letter, from the database or from the input of its run. What is larger than `recordBytes` is not read. */
export async function loadValue(
  { objects }: Pick<ApplicationPorts, 'objects'>,
  tenant: string,
  letter: StoredLetter,
  recordBytes: number,
): Promise<LetterValue> {
  const { id, runId, raw, object, byteLength, header, version, edit } = letter;
  const value = { id, version, ...(header && { header }), ...(edit && { edit }) };
  if (raw) return { ...value, raw };
  if (!object || edit || byteLength > recordBytes) return { ...value, raw: undefined };
  return {
    ...value,
    raw: await objects.getRange({ tenant, runId }, object.digest, object.offset, byteLength),
  };
}
