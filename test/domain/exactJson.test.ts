import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isDoubleExact, plainDecimal, wholeNumber } from '../../domain/json/decimalText.ts';
import { ExactNumber, parseExactJson, writeExactJson } from '../../domain/json/parseExactJson.ts';
import { scanJson } from '../../domain/json/scanJson.ts';

const space = fc.constantFrom('', '', ' ', '\n', '\t', '\r\n  ');
const numberText = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.oneof(fc.nat(99).map(String), fc.bigInt({ min: 1n, max: 10n ** 25n }).map(String)),
    fc.constantFrom('', '', '.0', '.5', '.25', '.10', '.123456789012345678901'),
    fc.constantFrom('', '', '', 'e0', 'E2', 'e-3', 'e+22', 'e400', 'e-400'),
  )
  .map((parts) => parts.join(''));
const stringText = fc
  .oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('\\', '"', '\\"', '\\\\', '":', 'a,b', '{[', '12345678901234567'),
  )
  .map((s) => JSON.stringify(s));

/**
 * Without backslashes: V8 13.6 compares the raw text of an escaped key with a key that it saw before in that shape, and so reads
 * `{"k":1,"\"":2}` after `{"k":1,"\\":2}` as `{"k":1,"\\":2}`. It is no judge there.
 */
const keyText = stringText.filter((key) => !JSON.parse(key).includes('\\'));

/** JSON text with every kind of white space, number and escape. */
const { json } = fc.letrec<{ json: string; object: string; array: string }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 5 },
    fc.constantFrom('null', 'true', 'false'),
    numberText,
    stringText,
    tie('object'),
    tie('array'),
  ),
  object: fc
    .tuple(
      space,
      fc.array(
        fc.tuple(
          fc.oneof(keyText, fc.constantFrom('"a"', '"\\u0061"', '"b"', '"__proto__"')),
          space,
          tie('json'),
          space,
        ),
        { maxLength: 5 },
      ),
    )
    .map(([s, members]) => `{${s}${members.map(([k, a, v, b]) => `${k}${a}:${b}${v}${a}`).join(`,${s}`)}}`),
  array: fc
    .tuple(space, fc.array(tie('json'), { maxLength: 5 }))
    .map(([s, items]) => `[${s}${items.join(`${s},${s}`)}${s}]`),
}));

/** What `JSON.parse` says of each number and of each object, the independent way. */
function seenByReviver(text: string): { exactNumbers: boolean } {
  let exactNumbers = true;
  // @ts-expect-error The third argument is newer than the types.
  JSON.parse(text, (_key, value, context: { source?: string }) => {
    if (typeof value === 'number' && !sameValue(context.source!, value)) exactNumbers = false;
    return value;
  });
  return { exactNumbers };
}

/** By arithmetic of bigints: source × 10^k against the printed double × 10^k. */
function sameValue(source: string, value: number): boolean {
  if (!Number.isFinite(value)) return false;
  const fractionOf = (text: string): [bigint, number] => {
    const [, sign, whole, fraction = '', power = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(
      text,
    )!;
    return [BigInt(`${sign}${whole}${fraction}`), Number(power) - fraction.length];
  };
  const [a, x] = fractionOf(source);
  const [b, y] = fractionOf(String(value));
  const least = Math.min(x, y);
  return a * 10n ** BigInt(x - least) === b * 10n ** BigInt(y - least);
}

describe('exact JSON', () => {
  it('is what JSON.parse reads wherever no number changes and no key stands twice', () => {
    fc.assert(
      fc.property(json, (text) => {
        const value = JSON.parse(text);
        const exact = parseExactJson(text);
        // With a key that stands twice, V8 gives the reviver the source of another number.
        if (exact.duplicateKey === undefined) assert.equal(exact.inexact, !seenByReviver(text).exactNumbers);
        if (!exact.inexact) assert.deepEqual(exact.value, value);
        const written = JSON.parse(writeExactJson(exact.value));
        assert.deepEqual(JSON.parse(JSON.stringify(written)), JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 3_000 },
    );
  });

  it('is in doubt of all text that JSON.parse would change', () => {
    fc.assert(
      fc.property(json, (text) => {
        const { tooDeep, doubtful } = scanJson(text, 64);
        const exact = parseExactJson(text);
        assert.equal(tooDeep, false);
        if (exact.inexact || exact.duplicateKey !== undefined) assert.equal(doubtful, true, text);
      }),
      { numRuns: 3_000 },
    );
  });

  it('never fails on text that is no JSON', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'{}[]",:\\0123e.-atn ') })),
        (text) => {
          scanJson(text, 64);
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it('names the first key that stands twice, at any depth and by any spelling', () => {
    const cases: [string, string | undefined][] = [
      ['{"a":1,"a":2}', 'a'],
      ['{"a":1,"\\u0061":2}', 'a'],
      ['{"x":[{"b":1},{"b":1,"c":{"d":1,"e":2,"d":3}}]}', 'x.1.c.d'],
      ['{"__proto__":1,"__proto__":2}', '__proto__'],
      ['{"x":{"constructor":1,"constructor":1}}', 'x.constructor'],
      ['{"":1,"":2}', ''],
      ['{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}', undefined],
      ['{"a":"\\"a\\":1","b":"a"}', undefined],
    ];
    for (const [text, path] of cases) {
      assert.equal(parseExactJson(text).duplicateKey, path, text);
      if (path !== undefined) assert.equal(scanJson(text, 64).doubtful, true, text);
    }
    const many = Array.from({ length: 5_000 }, (_, i) => `"k${i}":${i}`).join();
    assert.equal(parseExactJson(`{${many}}`).duplicateKey, undefined);
    assert.equal(parseExactJson(`{${many},"k4321":1}`).duplicateKey, 'k4321');
    assert.equal(scanJson(`{${many},"k4321":1}`, 64).doubtful, true);
  });

  it('does not doubt an ordinary record', () => {
    const ordinary = [
      '{"id":123456789012345,"price":12.34,"at":"2026-01-01T00:00:00.123456Z","u":"1e4d-5e6f","n":-0.5}',
      `{"items":[${Array.from({ length: 200 }, (_, i) => `{"sku":"s${i}","n":${i}}`).join()}]}`,
      '{"long":"12345678901234567890123e5","s":"a\\\\","t":"\\"x\\":1"}',
    ];
    for (const text of ordinary) assert.equal(scanJson(text, 64).doubtful, false, text);
  });

  it('keeps whole numbers as bigint and other numbers as text', () => {
    const { value, inexact } = parseExactJson(
      '{"a":9007199254740993,"b":[1e400,-1.00000000000000000001,2],"c":1e25}',
    );
    assert.equal(inexact, true);
    assert.deepEqual(value, {
      a: 9007199254740993n,
      b: [10n ** 400n, new ExactNumber('-1.00000000000000000001'), 2],
      c: 1e25,
    });
    assert.equal(
      writeExactJson(value),
      `{"a":9007199254740993,"b":[1${'0'.repeat(400)},-1.00000000000000000001,2],"c":1e+25}`,
    );
  });
});

describe('decimal text', () => {
  it('has one form for each value', () => {
    const forms: Record<string, string[]> = {
      '0': ['0', '-0', '0.000', '0e9', '-0.0e-7', '000'],
      '1.5': ['1.5', '1.50', '15e-1', '0.15E+1', '01.5'],
      '-1200': ['-1200', '-1.2e3', '-12e2', '-1200.0', '-0.0012e6'],
      '0.001': ['0.001', '1e-3', '100e-5'],
    };
    for (const [plain, texts] of Object.entries(forms))
      for (const text of texts) assert.equal(plainDecimal(text), plain, text);
    for (const text of [
      '',
      ' 1',
      '1 ',
      '+1',
      '.5',
      '0x10',
      'NaN',
      'Infinity',
      '1e',
      '1e999999999999999999999',
      '1_000',
      '--1',
    ])
      assert.equal(plainDecimal(text), undefined, text);
    assert.equal(plainDecimal('1e-1001'), undefined);
    assert.equal(wholeNumber('12.000e1'), 120n);
    assert.equal(wholeNumber('1.5'), undefined);
  });

  it('knows which numbers a double prints back', () => {
    for (const text of [
      '0',
      '-0.0',
      '0.1',
      '1e23',
      '9007199254740992',
      '9007199254740994',
      '5e-324',
      '1.7976931348623157e308',
      '100000000000000000000',
    ])
      assert.equal(isDoubleExact(text), true, text);
    for (const text of [
      '9007199254740993',
      '-9007199254740993',
      '1e400',
      '1e-400',
      '0.1234567890123456789',
      '12345678901234567890',
      '5e-325',
    ])
      assert.equal(isDoubleExact(text), false, text);
  });
});
