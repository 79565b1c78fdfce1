import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';

it('docs/dependencies.md gives a reason for each package, and for no other', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  const rows = readFileSync('docs/dependencies.md', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  const listed = rows.flatMap((row) =>
    [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
  assert.deepEqual(listed.sort(), [...Object.keys(dependencies), ...Object.keys(devDependencies)].sort());
  assert.ok(rows.every((row) => row.split('|')[2]!.trim().length > 0));
});

it('pins every package exactly', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
  const loose = Object.entries<string>({ ...dependencies, ...devDependencies }).filter(
    ([, v]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(v),
  );
  assert.deepEqual(loose, []);
});
