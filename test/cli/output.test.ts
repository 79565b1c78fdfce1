import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CommanderError } from 'commander';
import { CliError } from '../../cli/context.ts';
import { failureOf } from '../../cli/failure.ts';
import { formText } from '../../cli/output/approvalText.ts';
import { auditLines } from '../../cli/output/auditText.ts';
import { bytes, count, duration, localTime, since } from '../../cli/output/quantities.ts';
import { countLines } from '../../cli/output/runText.ts';
import { firingTable } from '../../cli/output/scheduleText.ts';
import { table } from '../../cli/output/table.ts';
import { plain } from '../../cli/output/terminal.ts';
import { namesOf } from '../../cli/output/whoText.ts';
import { rawParameters, typedParameters } from '../../cli/parameters.ts';
import { SettingsError } from '../../domain/settings.ts';
import { ApiUnreachable, type Firing, ProblemError } from '../../sdk/client.ts';

function problem(status: number, code: string, issues?: { path: string; message: string }[]): ProblemError {
  const title = 'What to do next.';
  return new ProblemError({
    type: 'about:blank',
    title,
    status,
    code,
    traceId: 'abc',
    ...(issues && { issues }),
  });
}

describe('a failure', () => {
  it('ends with the code that the contract gives it', () => {
    const codes = [
      problem(422, 'InputEmpty'),
      problem(401, 'TokenExpired'),
      problem(403, 'Forbidden'),
      // What another tenant has is not found.
      problem(404, 'RunNotFound'),
      problem(404, 'ApprovalNotFound'),
      new ApiUnreachable('http://127.0.0.1:1'),
      new SettingsError('X is not a setting.'),
      new CommanderError(1, 'commander.x', 'error: x'),
      new CliError('x', 'usage'),
      new CliError('x', 'runFailed'),
      new CliError('x', 'tampered'),
      new CliError('x', 'incomplete'),
      new Error('x'),
      'x',
    ].map((error) => failureOf(error).exitCode);
    assert.deepEqual(codes, [1, 3, 3, 3, 3, 1, 2, 2, 2, 4, 5, 6, 1, 1]);
  });

  it('is one line with its code, what to do and where', () => {
    const issues = [{ path: '/parameters/x', message: 'must be\na number' }];
    assert.equal(
      failureOf(problem(422, 'ParametersInvalid', issues)).line,
      'ParametersInvalid: What to do next. /parameters/x: must be a number',
    );
    assert.match(failureOf(problem(503, 'DatabaseUnavailable')).line, /\(trace abc\)$/);
  });
});

describe('what is printed', () => {
  it('cannot be made to move the cursor', () => {
    assert.equal(plain('a\x1b[2J\x07\u009bb\u202ec\n\td'), 'a�[2J��b�c d');
  });

  it('groups, scales and rounds', () => {
    assert.equal(count(1_234_567), '1,234,567');
    assert.deepEqual([0, 999, 1000, 9_960, 999_499, 999_500, 1_250_000].map(bytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '10 kB',
      '999 kB',
      '1.0 MB',
      '1.3 MB',
    ]);
    assert.deepEqual([0, 9_949, 9_950, 59_499, 59_500, 3_599_499, 7_380_000, 604_800_000].map(duration), [
      '0.0 s',
      '9.9 s',
      '10 s',
      '59 s',
      '1 min 00 s',
      '59 min 59 s',
      '2 h 03 min',
      '7 days',
    ]);
    const now = Date.parse('2026-02-03T12:00:00Z');
    assert.equal(since('2026-02-03T11:59:59.000Z', now), 'just now');
    assert.equal(since('2026-02-03T11:59:18Z', now), '42 s ago');
    assert.equal(since('2026-02-03T09:00:00Z', now), '3 h ago');
    assert.match(since('2026-01-01T09:00:00Z', now), /^2026-01-01 \d\d:00$/);
  });

  it('is aligned', () => {
    const lines = table(
      [
        { title: 'A', cell: (n: number) => 'x'.repeat(n) },
        { title: 'LONG', align: 'right', cell: (n: number) => String(n) },
      ],
      [1, 3],
    );
    assert.deepEqual(lines.slice(1), ['x       1', 'xxx     3']);
  });

  it('shows both sums', () => {
    const counts = { read: 10_000, passed: 10_000, filtered: 0, rejected: 0 };
    assert.deepEqual(
      countLines({ counts: { ...counts, emitted: 10_000, stored: 9_976, unchanged: 0, deduplicated: 24 } }),
      [
        'read     10,000 = passed 10,000 + filtered  0 + rejected 0',
        'emitted  10,000 = stored  9,976 + unchanged 0 + deduplicated 24',
      ],
    );
  });

  it('does not say that counts add up before they do', () => {
    const none = { filtered: 0, unchanged: 0, deduplicated: 0 };
    assert.deepEqual(
      countLines({ counts: { ...none, read: 30, passed: 20, rejected: 1, emitted: 20, stored: 10 } }),
      [
        'read     30 ≥ passed 20 + filtered  0 + rejected 1',
        'emitted  20 ≥ stored 10 + unchanged 0 + deduplicated 0',
      ],
    );
  });
});

describe('parameters', () => {
  it('are texts until the schema asks for something else', () => {
    const raw = rawParameters([
      'n=3',
      'b=true',
      'l=1',
      'l=2',
      'one=1',
      't=3',
      'o={"a":1}',
      'bad=x',
      'e=a=b',
      'empty=',
    ]);
    const properties = {
      n: { type: 'integer' },
      b: { type: 'boolean' },
      l: { type: 'array', items: { type: 'number' } },
      one: { type: 'array', items: { type: 'string' } },
      t: { type: 'string' },
      o: { type: 'object' },
      bad: { type: 'number' },
    };
    assert.deepEqual(typedParameters(raw, { properties }), {
      n: 3,
      b: true,
      l: [1, 2],
      one: ['1'],
      t: '3',
      o: { a: 1 },
      bad: 'x',
      e: 'a=b',
      empty: '',
    });
  });

  it('of any name are only names', () => {
    const typed = typedParameters(rawParameters(['__proto__=x', 'constructor=y']), {});
    assert.deepEqual(Object.entries(typed), [
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
  });

  it('have a name', () => {
    for (const wrong of ['x', '=x', ''])
      assert.throws(
        () => rawParameters([wrong]),
        (error) => error instanceof CliError && error.exitCode === 2,
      );
  });
});

describe('people', () => {
  const alice = { id: 'prn_a', issuer: 'https://one.test', subject: 'alice', kind: 'person' } as const;
  const copilot = { id: 'prn_c', issuer: 'https://one.test', subject: 'copilot', kind: 'agent' } as const;
  const other = { ...alice, id: 'prn_b', issuer: 'https://two.test' };

  it('have names, and are told apart below by kind, issuer and id', () => {
    const { name, lines } = namesOf([alice, { ...alice, actor: copilot }, null]);
    assert.equal(name(alice, 'prn_a'), 'alice');
    assert.equal(name({ ...alice, actor: copilot }, 'prn_a'), 'copilot (agent) for alice');
    assert.equal(name(null, 'prn_x'), 'prn_x');
    assert.deepEqual(
      lines.slice(2).map((line) => line.split(/ {2,}/)),
      [
        ['alice', 'person', 'https://one.test', 'prn_a'],
        ['copilot', 'agent', 'https://one.test', 'prn_c'],
      ],
    );
    assert.equal(namesOf([alice, other]).name(other, 'prn_b'), 'alice prn_b');
    assert.deepEqual(namesOf([null]).lines, []);
  });
});

describe('an audit', () => {
  const event = {
    id: '1',
    at: '2026-11-26T06:00:00.000Z',
    outcome: 'success',
    who: null,
    txn: null,
  } as const;
  const byOf = (action: string) =>
    auditLines([{ ...event, action, actor: null, detail: {} }])[1]!.split(/ {2,}/)[3];

  it('names the system where a timer acted, and says where the actor is unknown', () => {
    assert.equal(byOf('approval.expired'), 'Waybill (timer)');
    assert.equal(byOf('approval.escalated'), 'Waybill (timer)');
    assert.equal(byOf('run.terminated'), 'unknown');
  });
});

describe('the form of an approval', () => {
  it('shows the constraints of each field', () => {
    const properties = {
      ticket: { type: 'string', pattern: '^OPS-[0-9]+$', maxLength: 12 },
      rows: { type: 'integer', minimum: 1, exclusiveMaximum: 100 },
      risk: { enum: ['low', 'high'] },
      until: { type: 'string', format: 'date' },
      sure: { const: true },
    };
    assert.equal(
      formText({ properties, required: ['ticket', 'risk', 'sure'] }),
      'ticket (string, pattern ^OPS-[0-9]+$, maxLength 12), rows (integer, minimum 1, exclusiveMaximum 100, optional), ' +
        'risk (low | high), until (string, format date, optional), sure (true)',
    );
  });
});

describe('the history of a schedule', () => {
  const at = '2026-11-26T06:00:00.000Z';
  const begun = { outcome: 'fired', run: 'countries-1', state: 'suspended' } as const;
  const fired: Firing = {
    ...begun,
    ...{ at, skipped: null, code: null, decidedAt: at, backfilledBy: null, links: { run: null } },
  };
  const skipped = {
    times: 4,
    first: '2026-11-26T07:00:00.000Z',
    last: '2026-11-26T10:00:00.000Z',
    more: false,
  };

  it('has a line for the times that a run kept from beginning', () => {
    const [, above, below] = firingTable([{ ...fired, skipped }]).map((line) => line.split(/ {2,}/));
    const since = `went on; 4 times since ${localTime(skipped.first)}`;
    assert.deepEqual(above, [localTime(skipped.last), 'skipped', 'countries-1', since]);
    assert.deepEqual(below, [localTime(at), 'fired', 'countries-1', 'suspended']);
    assert.equal(firingTable([fired]).length, 2);
  });
});
