import { renameSync, writeFileSync } from 'node:fs';

/** A reader sees the old or the new text, whole. Only the owner may read the file. */
export function writeAtomically(file: string, text: string): void {
  const partial = `${file}.${process.pid}.partial`;
  writeFileSync(partial, text, { mode: 0o600 });
  renameSync(partial, file);
}
