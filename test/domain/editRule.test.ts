import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyRule, EditRule } from '../../domain/deadLetters/editRule.ts';
import { parseExactJson, writeExactJson } from '../../domain/json/parseExactJson.ts';

/** The record after the rule, as JSON; `undefined` where it does not apply. */
function edited(rule: unknown, text: string): string | undefined {
  const record = parseExactJson(text).value as object;
  return applyRule(EditRule.parse(rule), record) ? writeExactJson(record) : undefined;
}

describe('a rule that edits records', () => {
  it('sets fields by dotted path, where what is around them is there', () => {
    assert.equal(edited({ set: { a: 1, 'b.c': null } }, '{"b":{"c":2}}'), '{"b":{"c":null},"a":1}');
    assert.equal(edited({ set: { 'lines.1.n': 5 } }, '{"lines":[{},{"n":1}]}'), '{"lines":[{},{"n":5}]}');
    for (const path of ['b.c', 'x.0', 'n.a', '__proto__.a', 'constructor', 'lines.1'])
      assert.equal(
        edited({ set: { [path]: 1 } }, '{"x":{"y":1},"n":1,"lines":[]}') === undefined,
        path !== 'x.0',
        path,
      );
  });

  it('keeps each digit of what it does not touch', () => {
    const text = '{"id":12345678901234567890,"n":0.12345678901234567890123,"a":1}';
    assert.equal(edited({ set: { a: 2 } }, text), text.replace('"a":1', '"a":2'));
  });

  it('applies a JSON Patch as RFC 6902 has it', () => {
    const patch = (...operations: object[]) => edited({ patch: operations }, '{"a":{"b":[1,2]},"c/d":"x"}');
    assert.equal(patch({ op: 'add', path: '/a/b/1', value: 9 }), '{"a":{"b":[1,9,2]},"c/d":"x"}');
    assert.equal(patch({ op: 'add', path: '/a/b/-', value: 9 }), '{"a":{"b":[1,2,9]},"c/d":"x"}');
    assert.equal(patch({ op: 'replace', path: '/c~1d', value: 7 }), '{"a":{"b":[1,2]},"c/d":7}');
    assert.equal(patch({ op: 'remove', path: '/a/b/0' }), '{"a":{"b":[2]},"c/d":"x"}');
    assert.equal(patch({ op: 'move', from: '/c~1d', path: '/e' }), '{"a":{"b":[1,2]},"e":"x"}');
    assert.equal(patch({ op: 'copy', from: '/a/b/0', path: '/f' }), '{"a":{"b":[1,2]},"c/d":"x","f":1}');
    assert.equal(
      patch({ op: 'test', path: '/a/b', value: [1, 2] }, { op: 'remove', path: '/a' }),
      '{"c/d":"x"}',
    );
    for (const operation of [
      { op: 'test', path: '/a/b', value: [2, 1] },
      { op: 'replace', path: '/none', value: 1 },
      { op: 'remove', path: '/a/b/2' },
      { op: 'remove', path: '' },
      { op: 'add', path: '/a/b/01', value: 1 },
      { op: 'add', path: '/__proto__/x', value: 1 },
      { op: 'move', from: '/none', path: '/e' },
    ])
      assert.equal(patch(operation), undefined, JSON.stringify(operation));
    assert.equal(({} as Record<string, unknown>).x, undefined);
  });
});
