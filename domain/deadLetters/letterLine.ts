import type { LetterValue } from './deadLetter.ts';

/**
 * A letter in the input of a redrive: a line of JSON, so that the input is pinned, split and read as any other. It carries the id, so
 * that which letters a run stores is part of what its grant is bound to.
 */
export type LetterLine = {
  id: string;
  /** Of the definition to which the record belongs. */
  version: number;
} & (
  | { record: string }
  /** Base64 of the record in the format of the source. */
  | { raw: string; header?: readonly string[] }
  /** Too large to be loaded. */
  | { tooLarge: true }
);

export function writeLetterLine({ id, raw, header, version, edit }: LetterValue): string {
  const line: LetterLine = edit
    ? edit.form === 'record'
      ? { id, version, record: Buffer.from(edit.bytes).toString() }
      : { id, version, raw: Buffer.from(edit.bytes).toString('base64'), ...(header && { header }) }
    : raw
      ? { id, version, raw: Buffer.from(raw).toString('base64'), ...(header && { header }) }
      : { id, version, tooLarge: true };
  return `${JSON.stringify(line)}\n`;
}
