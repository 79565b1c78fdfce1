import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('../..', import.meta.url));

export interface TestProject {
  path: string;
  remove(): Promise<void>;
}

/** A project in a temporary folder: copies of `from` (folders of the repository), then `files` by their paths. */
export async function makeProject({
  from = [],
  files = {},
  packages = ['zod'],
}: {
  from?: readonly string[];
  files?: Record<string, string>;
  packages?: readonly string[];
}): Promise<TestProject> {
  const path = await mkdtemp(join(tmpdir(), 'waybill-project-'));
  for (const folder of from) await cp(join(repository, folder), path, { recursive: true });
  const all = { 'package.json': '{ "type": "module" }', ...files };
  for (const [name, text] of Object.entries(all)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), text);
  }
  await mkdir(join(path, 'node_modules'));
  await symlink(repository, join(path, 'node_modules/waybill'));
  for (const name of packages)
    await symlink(join(repository, 'node_modules', name), join(path, 'node_modules', name));
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}
