import assert from 'node:assert/strict';
import { readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { DefinitionRef } from '../../domain/ports/compute.ts';
import { createMemoryObjects } from '../../engine/memoryObjectStore.ts';
import { keepDefinitions } from '../../engine/project/keptDefinitions.ts';
import { loadProject } from '../../engine/project/loadProject.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { createComputePool } from '../../engine/threads/pool.ts';
import { makeProject, type TestProject } from '../support/makeProject.ts';

const pipeline = (said: string) => `
import { definePipeline, inline, postgres } from 'waybill';
import { z } from 'zod';
import { mark } from '${'../mark.ts'}';
export default definePipeline({
  id: 'notes', source: inline(), input: z.strictObject({ id: z.string() }),
  output: z.strictObject({ id: z.string(), said: z.string() }),
  transform: ({ id }) => ({ id, said: mark('${said}') }),
  sink: postgres({ table: 'notes', key: ['id'] }),
});`;

describe('kept definitions', () => {
  const projects: TestProject[] = [];
  let kept: string;
  const digests: string[] = [];

  /** A deployment of other code. Each in a folder of its own, since a module that was loaded stays. */
  async function deploy(said: string, needed: readonly string[] = []) {
    const project = await makeProject({
      files: {
        'pipelines/notes.ts': pipeline(said),
        'mark.ts': "export const mark = (said: string) => ['<', said, '>'].join('');",
      },
    });
    projects.push(project);
    kept ??= join(project.path, 'kept');
    const served = (await loadProject(project.path)).list();
    await keepDefinitions(kept, served, new Set(needed));
    digests.push(served[0]!.digest);
    return loadProject(project.path, kept);
  }

  before(async () => {
    await deploy('first');
  });
  after(() => Promise.all(projects.map((project) => project.remove())));

  async function rowsOf(definition: DefinitionRef): Promise<string> {
    const objects = createMemoryObjects();
    const pool = createComputePool({ objects });
    const scope = { tenant: 'acme', runId: 'notes-1' };
    const input = { format: { name: 'ndjson' }, limits: { concurrency: 1, ...limits } };
    let text = '';
    for await (const batch of createReceiver(objects).receive(scope, input, bytes('{"id":"a"}\n'))) {
      const task = { definition, scope, batch, parameters: {} };
      const { transformed } = await pool.transform(task);
      const { digest, sizeBytes, counts } = transformed;
      const rows = await pool.rows(task, { digest, sizeBytes, emitted: counts.emitted! });
      for await (const chunk of rows.chunks()) text += Buffer.from(chunk).toString();
    }
    await pool.close();
    return text;
  }
  const limits = { batchBytes: 1e6, batchRecords: 1e4, recordBytes: 1e5, decompressedBytes: 1e7 };

  async function* bytes(text: string) {
    yield Buffer.from(text);
  }

  it('run their own code after another was deployed, in threads too, with the packages of the project', async () => {
    const project = await deploy('second');
    assert.notEqual(digests[0], digests[1]);
    assert.match(await rowsOf(project.require('notes', digests[0]!)), /<first>/);
    assert.match(await rowsOf(project.require('notes', digests[1]!)), /<second>/);
    assert.equal(project.find('notes')!.digest, digests[1]);
    assert.deepEqual([...project.listDigests()].sort(), digests.slice(0, 2).sort());
    assert.throws(() => project.require('notes', '0'.repeat(64)), { code: 'DefinitionUnavailable' });
    assert.throws(() => project.require('other', digests[0]!), { code: 'DefinitionUnavailable' });
  });

  it('stay for as long as a run needs them, and besides only the newest three', async () => {
    for (const said of ['third', 'fourth']) await deploy(said, [digests[0]!]);
    // The order of files that were written within a moment is that of their times.
    for (const name of await readdir(kept)) {
      const at = digests.findIndex((digest) => name.includes(digest)) + 1;
      await utimes(join(kept, name), at, at);
    }
    const project = await deploy('fifth', [digests[0]!]);
    assert.deepEqual(
      digests.map((digest) => project.find('notes', digest) !== undefined),
      [true, false, true, true, true],
    );
  });

  it('that are not of their digest, or do not load, are gone', async () => {
    const path = join(kept, `notes.${digests[0]}.mjs`);
    const text = await readFile(path, 'utf8');
    for (const [i, other] of [text.replace('"<"', '"("'), 'throw 1', ''].entries()) {
      // Another path, for a module that was loaded stays; the name says the digest.
      await writeFile(join(kept, `notes.${String(i).repeat(64)}.mjs`), other);
    }
    const project = await deploy('sixth', [digests[0]!, ...['0', '1', '2'].map((i) => i.repeat(64))]);
    assert.deepEqual(
      ['0', '1', '2'].map((i) => project.find('notes', i.repeat(64))),
      [undefined, undefined, undefined],
    );
    assert.ok(project.find('notes', digests[0]!));
  });
});
