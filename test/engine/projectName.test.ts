import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { it } from 'node:test';
import { projectName } from '../../engine/project/projectName.ts';

it('a project has the name of its package.json, else of its folder', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-name-'));
  const file = join(folder, 'package.json');
  try {
    assert.equal(await projectName(`${folder}/`), basename(folder));
    await writeFile(file, '{ "type": "module" }');
    assert.equal(await projectName(folder), basename(folder));
    await writeFile(file, '{ "name": "acme" }');
    assert.equal(await projectName(folder), 'acme');
    await writeFile(file, '{ "name": ');
    await assert.rejects(projectName(folder), { name: 'DefinitionError' });
  } finally {
    await rm(folder, { recursive: true });
  }
});
