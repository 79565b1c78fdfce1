import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connectors } from '../../connectors/index.ts';
import { errors } from '../../domain/errors.ts';
import { rejections } from '../../domain/runs/rejection.ts';
import { loadProject } from '../../engine/project/loadProject.ts';

const root = join(import.meta.dirname, '../..');
const { sources, formats, sinks } = connectors;
const kinds = new Map(
  [
    ...sources.map(({ kind, options }) => [kind, options] as const),
    ...formats.map(({ name, options }) => [name, options] as const),
    ...sinks.map(({ kind, options }) => [kind, options] as const),
  ].map(([name, { shape }]) => [name, Object.keys(shape)]),
);

describe('docs/connectors', () => {
  const pages = new Map<string, string>();
  let home: string;

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'waybill-connectors-'));
    await mkdir(join(home, 'node_modules'));
    await writeFile(join(home, 'package.json'), '{ "type": "module" }');
    await symlink(root, join(home, 'node_modules/waybill'));
    await symlink(join(root, 'node_modules/zod'), join(home, 'node_modules/zod'));
    for (const file of await readdir(join(root, 'docs/connectors')))
      pages.set(file.replace('.md', ''), await readFile(join(root, 'docs/connectors', file), 'utf8'));
  });
  after(() => rm(home, { recursive: true }));

  const sectionOf = (kind: string, heading: string) =>
    pages.get(kind)!.split(`## ${heading}\n`)[1]!.split('\n## ')[0]!;
  const namesOf = (section: string) => [...section.matchAll(/^\| *`(\w+)`/gm)].map(([, name]) => name!);

  test('has a page for each kind and no other, and the first page names them', () => {
    assert.deepEqual([...pages.keys()].sort(), ['README', ...kinds.keys()].sort());
    for (const kind of kinds.keys()) assert.match(pages.get('README')!, new RegExp(`\\(${kind}\\.md\\)`));
  });

  test('lists the options that each kind has', () => {
    for (const [kind, options] of kinds)
      assert.deepEqual(namesOf(sectionOf(kind, 'Options')).sort(), options.sort(), kind);
  });

  test('names codes that there are', () => {
    for (const kind of kinds.keys()) {
      const codes = namesOf(sectionOf(kind, 'What goes wrong'));
      assert.ok(codes.length > 0, kind);
      assert.deepEqual(
        codes.filter((code) => !(code in errors) && !(code in rejections)),
        [],
        kind,
      );
    }
  });

  test('has an example of each kind that loads', async () => {
    const written = new Set<string>();
    for (const [kind] of kinds) {
      const examples = [...pages.get(kind)!.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)];
      assert.ok(examples.length > 0, kind);
      for (const [, path, text] of examples) {
        await mkdir(dirname(join(home, path!)), { recursive: true });
        await writeFile(join(home, path!), text!);
        written.add(path!);
      }
    }
    const manifests = (await loadProject(home)).list().map(({ manifest }) => manifest);
    assert.equal(manifests.length, [...written].filter((path) => path.startsWith('pipelines/')).length);
    const used = manifests.flatMap(({ source, sink }) => [source.kind, source.format?.name, sink.kind]);
    assert.deepEqual(
      [...kinds.keys()].filter((kind) => !used.includes(kind)),
      [],
    );
  });
});
