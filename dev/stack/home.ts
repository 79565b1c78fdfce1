import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { DevJson } from '../../cli/embedded/devJson.ts';
import { writeAtomically } from '../../cli/writeAtomically.ts';

/**
 * The folder in which the embedded stack keeps everything: delete it to start again from nothing.
 *
 * `dev.json` (where everything is), `keys/` (secrets, 0700), `logs/`, `run/` (pid records), `objects/` (bytes of
 * batches), `postgres/`, `temporal/`, `bundle/` (prebuilt workflows), `definitions/` (pipelines as they
 * were served).
 */
export interface Home {
  path: string;
  keys: string;
  logs: string;
  run: string;
  objects: string;
  stageCache: string;
  temporal: string;
  bundle: string;
  /** Pipelines as they were served before. */
  definitions: string;
  devJson: string;
  /** Names this home where something of it must lie elsewhere: 16 hexadecimal digits of its path's SHA-256. */
  hash: string;
}

export async function openHome(path: string): Promise<Home> {
  const root = resolve(path);
  const home: Home = {
    path: root,
    keys: join(root, 'keys'),
    logs: join(root, 'logs'),
    run: join(root, 'run'),
    objects: join(root, 'objects'),
    stageCache: join(root, 'stages'),
    temporal: join(root, 'temporal'),
    bundle: join(root, 'bundle'),
    definitions: join(root, 'definitions'),
    devJson: join(root, 'dev.json'),
    hash: createHash('sha256').update(root).digest('hex').slice(0, 16),
  };
  await mkdir(root, { recursive: true });
  // PostgreSQL may run as another user: that user may pass through, and read nothing.
  await chmod(root, 0o711);
  for (const folder of [home.keys, home.logs, home.run, home.objects, home.temporal, home.bundle]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  return home;
}

export function writeDevJson(home: Home, content: DevJson): void {
  writeAtomically(home.devJson, `${JSON.stringify(content, undefined, 2)}\n`);
}

export function removeDevJson(home: Home): void {
  rmSync(home.devJson, { force: true });
}
