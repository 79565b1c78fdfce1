import { renameSync, writeFileSync } from 'node:fs';

/** Whoever reads the file sees the old or the new text, whole. Only the owner may read it. */
export function writeAtomically(file: string, text: string): void {
  const partial = `${file}.${process.pid}.partial`;
  writeFileSync(partial, text, { mode: 0o600 });
  renameSync(partial, file);
}
