import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { redactSource } from '../../domain/sources/redactSource.ts';

describe('redactSource', () => {
  const shown = (url: string) => redactSource({ kind: 'http', url }).url;

  for (const [name, url, expected] of [
    ['query values', 'https://a.example/f?key=s3cret&day=1', 'https://a.example/f?key=***&day=***'],
    ['a repeated name', 'https://a.example/?k=s3cret&k=s3cret', 'https://a.example/?k=***&k=***'],
    ['a value with an equals sign', 'https://a.example/?k=s3=cret', 'https://a.example/?k=***'],
    ['an encoded value', 'https://a.example/?k=s3%26cret', 'https://a.example/?k=***'],
    ['a query that is only a value', 'https://a.example/f?s3cret', 'https://a.example/f?***'],
    ['user information', 'https://user:s3cret@a.example:8443/f', 'https://***@a.example:8443/f'],
    ['a password without user', 'https://:s3cret@a.example/f', 'https://***@a.example/f'],
    ['a token as user', 'https://s3cret@a.example/f', 'https://***@a.example/f'],
    ['a fragment', 'https://a.example/f#s3cret', 'https://a.example/f#***'],
    ['a text that is no URL', 's3cret', '***'],
  ] as const)
    it(`hides ${name}`, () => assert.equal(shown(url), expected));

  it('keeps a URL without secrets, and every other field', () => {
    const source = { kind: 'http', url: 'https://a.example/f', auth: 'caller', format: { name: 'csv' } };
    assert.deepEqual(redactSource(source), source);
    assert.deepEqual(redactSource({ kind: 'file', path: 'a?b=c' }), { kind: 'file', path: 'a?b=c' });
    assert.deepEqual(redactSource({ kind: 'upload' }), { kind: 'upload' });
  });

  it('leaves the given source as it is', () => {
    const source = { kind: 'http', url: 'https://a.example/f?key=s3cret' };
    redactSource(source);
    assert.equal(source.url, 'https://a.example/f?key=s3cret');
  });
});
