import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type CliContext, CliError } from './context.ts';

/**
 * What the user makes of a text in `$VISUAL`, `$EDITOR` or vi. The file is readable by its owner only, and gone afterwards. Throws
 * `CliError` where the editor fails or nothing was changed.
 */
export function editText({ env }: CliContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-edit-'));
  try {
    const file = join(folder, 'record');
    writeFileSync(file, `${text}\n`, { mode: 0o600 });
    const editor = env.VISUAL || env.EDITOR || 'vi';
    // By a shell, since the variable may hold options of the editor too.
    const { status } = spawnSync('sh', ['-c', `${editor} "$@"`, 'sh', file], { stdio: 'inherit' });
    if (status !== 0)
      throw new CliError(`The editor ended with ${status ?? 'a signal'}. Nothing is changed.`);
    const edited = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    if (edited === text) throw new CliError('The record is as it was. Nothing is changed.');
    return edited;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
