import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../../cli/runCommand.ts';

const page = readFileSync('docs/cli.md', 'utf8');
const sections = page.split('\n## ').map((text) => {
  const [heading, ...rest] = text.split('\n');
  return { heading: heading!, text: rest.join('\n') };
});
const ofEvery = sections.find(({ heading }) => heading === 'Options of every command')!.text;

/** The commands that a user can call, with the path of their names. */
function leaves(command: Command, path: readonly string[] = []): [string[], Command][] {
  const below = command.commands.filter((one) => one.name() !== 'help');
  if (below.length === 0) return [[[...path], command]];
  return below.flatMap((one) => leaves(one, [...path, one.name()]));
}

describe('docs/cli.md', () => {
  const program = createProgram({ env: {} });
  const commands = leaves(program);

  for (const [path, command] of commands) {
    it(`names each option of ${path.join(' ')}`, () => {
      const named = sections.filter(({ heading }) =>
        heading.split(/, | \[/).some((one) => one.startsWith(path.join(' '))),
      );
      const [section] = named.length
        ? named
        : sections.filter(({ heading }) => new RegExp(`\\b${path[0]}\\b`).test(heading));
      assert.ok(section, 'it has a section');
      const text = `${section.text}${ofEvery}`;
      assert.deepEqual(
        command.options.filter(({ long }) => !text.includes(`\`${long}`)).map(({ long }) => long),
        [],
      );
    });
  }

  it('describes each command as a verb with its object, without a full stop', () => {
    for (const [path, command] of commands)
      assert.match(command.description(), /^[a-z]+ .*[^.]$/, path.join(' '));
  });

  it('names no option that no command has', () => {
    const known = new Set(
      [program, ...commands.map(([, command]) => command)].flatMap((one) =>
        one.options.map(({ long }) => long),
      ),
    );
    const tables = page.split('\n').filter((line) => line.startsWith('| `--'));
    const named = tables.flatMap((line) => [...line.matchAll(/`(--[a-z-]+)/g)].map(([, name]) => name!));
    assert.ok(named.length > 40);
    assert.deepEqual(
      named.filter((name) => name !== '--help' && !known.has(name)),
      [],
    );
  });
});
