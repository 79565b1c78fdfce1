import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { codeFiles, codeOf } from '../support/sourceTree.ts';

const page = readFileSync('docs/audit.md', 'utf8');
const listed = [...page.matchAll(/^\| `([a-z-]+\.[a-z-]+)` /gm)].map(([, action]) => action!);

/** The end of these actions is computed: from the state of a run, a delivery or an approval. */
const computed = /`(run|delivery|approval)\.\$\{/;

/** The type of a webhook event, and a field of a definition. */
const notActions = ['approval.ended', 'approval.form'];

describe('docs/audit.md', () => {
  const code = codeFiles
    .filter((file) => !/^(test|bench|examples|docs)\/|\/migrations\/|^sdk\/generated/.test(file))
    .map(codeOf);
  const nouns = new Set(listed.map((action) => action.split('.')[0]!));
  const recorded = new Set(
    code
      .flatMap((text) => [...text.matchAll(/'(([a-z-]+)\.[a-z-]+)'/g)])
      .filter(([, action, noun]) => nouns.has(noun!) && !notActions.includes(action!))
      .map(([, action]) => action!),
  );

  it('lists each action once, in order', () => {
    assert.deepEqual(listed, [...new Set(listed)].sort());
  });

  it('lists each action that the code records', () => {
    assert.ok(recorded.size > 40);
    assert.deepEqual(
      [...recorded].filter((action) => !listed.includes(action)),
      [],
    );
  });

  it('lists no action that the code does not record', () => {
    const nounsComputed = new Set(
      code.flatMap((text) => [...text.matchAll(new RegExp(computed, 'g'))].map(([, noun]) => noun!)),
    );
    assert.deepEqual(
      listed.filter((action) => !recorded.has(action) && !nounsComputed.has(action.split('.')[0]!)),
      [],
    );
  });
});
