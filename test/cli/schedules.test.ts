import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Backfill, Firing, Page, Pipeline, Run, Schedule } from '../../sdk/client.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { until } from '../support/until.ts';
import { documents, type Ended, runBlock, runWaybill, startCommandServer } from './waybillProcess.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** In this project a data steward may schedule too, so that there are two people who may. */
const policy = `
@id("stewards-schedule")
permit (
  principal in Waybill::Role::"data-steward",
  action in [
    Waybill::Action::"schedule",
    Waybill::Action::"trigger",
    Waybill::Action::"ingest",
    Waybill::Action::"validate",
    Waybill::Action::"transform",
    Waybill::Action::"store"
  ],
  resource
);
`;

interface Planned {
  schedules: {
    changes: { change: string; id: string; owner: string | null; code?: string | null }[];
    waiting: { id: string; owner: string; why: string }[];
  } | null;
}

describe('waybill schedules', () => {
  let folder: string;
  let project: string;
  let stack: DevStack;
  const loading = startCommandServer();

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waybill-schedules-'));
    project = join(folder, 'acme');
    await cp(join(root, 'examples/acme'), project, { recursive: true });
    await mkdir(join(folder, 'node_modules'));
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await symlink(root, join(folder, 'node_modules/waybill'));
    await symlink(join(root, 'node_modules/zod'), join(folder, 'node_modules/zod'));
    await writeFile(join(project, 'policies/stewards.cedar'), policy);
    stack = await startDevStack({ project, watch: true, workers: 1 });
  });
  after(async () => {
    loading.renew();
    await stack?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const waybill = (...args: string[]): Promise<Ended> =>
    (/^(plan|apply)$/.test(args[0]!) ? loading.run : runWaybill)(args, { WAYBILL_HOME: stack.home });
  async function json<T>(code: number, ...args: string[]): Promise<T> {
    const ended = await waybill(...args, '--json');
    assert.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}${ended.stdout}`);
    return documents<T>(ended)[0]!;
  }
  const codeOf = async (code: number, ...args: string[]) =>
    (await json<{ error: { code: string } }>(code, ...args)).error.code;

  describe('docs/schedules.md', () => {
    const page = readFileSync(join(root, 'docs/schedules.md'), 'utf8');
    const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block!);

    // It has put the policies of the example in force.
    after(() => waybill('apply', project));

    it('has examples', () => assert.equal(blocks.length, 5));

    for (const block of blocks) {
      it(`shows what works as it stands there: ${block.split('\n', 1)}`, async () => {
        const { code, stdout, stderr } = await runBlock(block, { WAYBILL_HOME: stack.home });
        assert.equal(code, 0, stderr);
        assert.notEqual(stdout, '');
      });
    }

    it('says what Temporal makes of the days on which clocks change', async () => {
      const rows = [...page.matchAll(/^\| *(\d{4}-\d\d-\d\d) *\| *([\w/]+) *\| *`(.*?)` *\| *(.*?) *\|$/gm)];
      assert.ok(rows.length >= 4);
      for (const [, day, zone, cron, said] of rows) {
        const dayMs = Date.parse(`${day}T00:00:00Z`);
        const { times } = await json<{ times: string[] }>(
          0,
          ...[
            'schedules',
            'preview',
            '--cron',
            cron!,
            '--time-zone',
            zone!,
            '--count',
            '10',
            '--as',
            'alice',
          ],
          ...['--start', new Date(dayMs - 6 * 3_600_000).toISOString()],
          ...['--end', new Date(dayMs + 30 * 3_600_000).toISOString()],
        );
        const there = new Intl.DateTimeFormat('en-CA', { timeZone: zone!, dateStyle: 'short' });
        const ofDay = times.filter((time) => there.format(new Date(time)) === day);
        const expected =
          said === 'never' ? [] : said!.split(', ').map((time) => `${day}T${time.replace(/`/g, '')}`);
        assert.deepEqual(
          ofDay.map((time) => time.replace(':00.000Z', 'Z')),
          expected,
          `${day} ${zone}`,
        );
      }
    });
  });

  it('show when one is due before it is saved, and save nothing without an answer', async () => {
    const { stdout } = await waybill(
      ...['schedules', 'preview', '--cron', '30 5 * * *', '--time-zone', 'America/New_York', '--count', '2'],
      ...['--start', '2027-03-13T00:00:00Z', '--as', 'alice'],
    );
    assert.equal(stdout, 'Sat 2027-03-13 05:30:00 -05:00\nSun 2027-03-14 05:30:00 -04:00\n');
    const silent = await waybill('schedules', 'create', 'countries', '--every', '1h', '--as', 'alice');
    assert.deepEqual([silent.code, silent.stdout], [2, '']);
    assert.match(silent.stderr, /There is no terminal to ask on. Add --yes/);
    assert.equal((await waybill('schedules', 'create', 'countries', '--as', 'alice', '--yes')).code, 2);
    assert.equal(await codeOf(3, 'schedules', 'get', 'nowhere', '--as', 'alice'), 'ScheduleNotFound');
    assert.equal(
      await codeOf(1, 'schedules', 'create', 'countries', '--cron', '99 * * * *', '--yes', '--as', 'alice'),
      'ScheduleInvalid',
    );
    const denied = ['schedules', 'create', 'countries', '--every', '1h', '--yes', '--as', 'carol'];
    assert.equal(await codeOf(3, ...denied), 'Forbidden');
    // The preview is not shown to a caller who may not save it, nor for a pipeline they may not schedule.
    assert.match((await waybill(...denied)).stderr, /^Forbidden: /);
    const mistyped = await waybill(...denied.with(2, 'countrys'));
    assert.match(mistyped.stderr, /^PipelineNotFound: .*Did you mean countries\?\n$/);
  });

  it('are made, changed field by field, paused, resumed and ended', async () => {
    const when = ['--calendar', 'hour=6,dayOfWeek=MON+FRI', '--jitter', '5m', '--time-zone', 'Europe/Vienna'];
    const made = await waybill(
      ...[
        'schedules',
        'create',
        'countries',
        '--id',
        'by-hand',
        ...when,
        '--overlap',
        'buffer-one',
        '--catch-up',
        '2h',
      ],
      ...[
        '--pause-on-failure',
        '--note',
        'For the test',
        '--source',
        'countries.csv',
        '--yes',
        '--as',
        'alice',
      ],
    );
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stderr, /countries would run in your name:\n +when +hour 6 dayOfWeek MON,FRI\n/);
    assert.match(made.stderr, /next +(Mon|Fri) \d{4}-\d\d-\d\d 06:00:00 \+0[12]:00\n/);
    assert.match(
      made.stdout,
      /^by-hand runs in the name of alice, until \d{4}-\d\d-\d\d unless they renew it\.\n$/,
    );

    const { terms, note } = await json<Schedule>(0, 'schedules', 'get', 'by-hand', '--as', 'alice');
    assert.equal(note, 'For the test');
    assert.deepEqual(
      [terms.overlap, terms.catchUp, terms.pauseOnFailure, terms.jitter, terms.source],
      ['buffer-one', '2h', true, '5m', { path: 'countries.csv' }],
    );
    const changed = await json<Schedule>(
      0,
      ...['schedules', 'update', 'by-hand', '--every', '1d', '--unset', 'calendar', '--unset', '--jitter'],
      ...['--no-pause-on-failure', '--yes', '--as', 'alice'],
    );
    const { calendars, jitter, every, pauseOnFailure, catchUp } = changed.terms;
    assert.deepEqual(
      [calendars, jitter, every, pauseOnFailure, catchUp],
      [undefined, undefined, '1d', false, '2h'],
    );
    assert.equal(changed.revision, 2);
    const unlikely = ['schedules', 'preview', '--cron', '0 0 30 2 MON', '--as', 'alice'];
    assert.match((await waybill(...unlikely)).stdout, /^! NeverDue: .*\n! BothDaysMatch: .*\n$/);
    const far = ['schedules', 'preview', '--every', '1d', '--start', '2031-01-01T00:00:00Z', '--count', '1'];
    assert.equal((await waybill(...far, '--as', 'alice')).stdout, 'Wed 2031-01-01 00:00:00 +00:00\n');

    // The change of another user waits for the owner, who is named; no other user is asked to agree.
    const others = ['schedules', 'update', 'by-hand', '--every', '2d', '--yes', '--as', 'bob'];
    const waits = await waybill(...others);
    assert.match(
      waits.stdout,
      /the consent of alice\. Renew it: npx waybill schedules renew by-hand --as alice\n$/,
    );
    // The owner is shown what another caller made of it and no run executes it without their consent.
    const unseen = await waybill('schedules', 'run', 'by-hand', '--as', 'alice');
    assert.deepEqual([unseen.code, unseen.stdout], [1, '']);
    assert.match(unseen.stderr, /alice has not consented .* Revision 3 runs countries:\n +when +every 2d\n/);
    assert.match(unseen.stderr, /\n +differs +every: 1d → 2d\n/);
    assert.match(unseen.stderr, /\nConsentRequired: /);
    const notTheirs = await waybill('schedules', 'renew', 'by-hand', '--yes', '--as', 'bob');
    assert.deepEqual([notTheirs.code, notTheirs.stdout], [3, '']);
    assert.match(notTheirs.stderr, /^OwnerOnly: /);
    await json(0, 'schedules', 'renew', 'by-hand', '--yes', '--as', 'alice');

    assert.equal(
      (await json<Schedule>(0, 'schedules', 'pause', 'by-hand', '--note', 'wait', '--as', 'alice')).state,
      'paused',
    );
    const listed = await json<Page<Schedule>>(0, 'schedules', 'list', '--state', 'paused', '--as', 'bob');
    assert.deepEqual(
      listed.items.map(({ id }) => id),
      ['by-hand'],
    );
    assert.match(
      (await waybill('schedules', '--as', 'alice')).stdout,
      /^SCHEDULE .*\n(.*\n)*by-hand +paused/,
    );
    assert.equal(
      (await json<Schedule>(0, 'schedules', 'resume', 'by-hand', '--as', 'alice')).state,
      'active',
    );
    assert.match(
      (await waybill('schedules', 'get', 'by-hand', '--as', 'alice')).stdout,
      /consent +until .* \(89 days\)/,
    );
    assert.equal((await waybill('schedules', 'delete', 'by-hand', '--as', 'alice')).code, 2);
    assert.equal(
      (await waybill('schedules', 'delete', 'by-hand', '--yes', '--as', 'alice')).stdout,
      'by-hand is deleted.\n',
    );
  });

  it('run now and for times that have passed as the caller, and tell what became of their times', async () => {
    await json(
      0,
      'schedules',
      'create',
      'countries',
      '--id',
      'often',
      '--every',
      '2s',
      '--yes',
      '--as',
      'alice',
    );
    const fired = await until('it fires', async () => {
      const { items } = await json<Page<Firing>>(0, 'schedules', 'history', 'often', '--as', 'alice');
      return items.find(({ outcome }) => outcome === 'fired');
    });
    assert.match(
      (await waybill('schedules', 'history', 'often', '--as', 'alice')).stdout,
      new RegExp(`fired +${fired.run}`),
    );
    await json(0, 'schedules', 'update', 'often', '--every', '1d', '--yes', '--as', 'alice');
    const run = await json<Run>(0, 'schedules', 'run', 'often', '--wait', '--as', 'bob');
    assert.deepEqual(
      [run.state, run.requestedBy.subject, run.requestedBy.actor],
      ['completed', 'bob', undefined],
    );
    const range = ['--from', '2026-01-01T00:00:00Z', '--to', '2026-01-02T12:00:00Z', '--as', 'bob'];
    const dry = await waybill('schedules', 'backfill', 'often', '--dry-run', ...range);
    assert.equal(
      dry.stdout,
      'Thu 2026-01-01 00:00:00 +00:00  would run\nFri 2026-01-02 00:00:00 +00:00  would run\n',
    );
    const { items } = await json<Backfill>(0, 'schedules', 'backfill', 'often', ...range);
    assert.equal(items.length, 2);
    for (const { run } of items) assert.equal((await waybill('runs', 'watch', run!, '--as', 'bob')).code, 0);
    assert.equal(
      (await waybill('schedules', 'backfill', 'often', ...range)).stdout,
      'No time of the range matches the mode.\nOther times of the range, by the state of their last run: 2 completed.\n',
    );
    const before = ['--from', '2025-01-01T00:00:01Z', '--to', '2025-01-01T12:00:00Z', '--as', 'bob'];
    assert.equal(
      (await waybill('schedules', 'backfill', 'often', ...before)).stdout,
      'The schedule has no time in this range.\n',
    );
    await json(0, 'schedules', 'delete', 'often', '--yes', '--as', 'alice');
  });

  describe('that a project declares', () => {
    const file = () => join(project, 'pipelines/countries.ts');
    const plan = (as: string) => json<Planned>(0, 'plan', project, '--as', as);
    const apply = (as: string, code = 0) => json<Planned>(code, 'apply', project, '--as', as);
    const changesOf = ({ schedules }: Planned) =>
      schedules!.changes.map(({ change, id }) => `${change} ${id}`);
    const standing = () => json<Schedule>(0, 'schedules', 'get', 'countries', '--as', 'alice');

    /** Changes the declaration, and resolves once the API serves what is written now. */
    async function declare(from: string, to: string): Promise<void> {
      const digest = async () => {
        const ended = await waybill('pipelines', '--json', '--as', 'alice');
        if (ended.code !== 0) return undefined;
        return documents<Page<Pipeline>>(ended)[0]!.items.find(({ id }) => id === 'countries')
          ?.definitionDigest;
      };
      const before = await digest();
      const text = await readFile(file(), 'utf8');
      assert.ok(text.includes(from));
      await writeFile(file(), text.replace(from, to));
      loading.renew();
      await until('the API serves it', async () => {
        const now = await digest();
        return now !== undefined && now !== before;
      });
    }

    before(async () => {
      await waybill('schedules', 'delete', 'countries', '--yes', '--as', 'alice');
    });

    it('belong to the user who applies the project; the second time there is nothing to do', async () => {
      const silent = await waybill('plan', project);
      assert.match(silent.stdout, /The project declares a schedule: say who you are/);
      assert.equal((await json<Planned>(0, 'apply', project)).schedules, null);
      assert.deepEqual(changesOf(await plan('alice')), ['create countries']);
      assert.deepEqual(changesOf(await apply('alice')), ['create countries']);
      const { owner, declared, terms, note, state, revision } = await standing();
      assert.deepEqual(
        [owner.subject, declared, note, state],
        ['alice', true, 'Before office hours.', 'active'],
      );
      assert.deepEqual([terms.cron, terms.timeZone], ['0 6 * * *', 'Europe/Vienna']);
      for (const as of ['alice', 'bob']) {
        assert.deepEqual((await plan(as)).schedules, { changes: [], waiting: [] });
        assert.deepEqual((await apply(as)).schedules, { changes: [], waiting: [] });
      }
      assert.equal((await standing()).revision, revision);
    });

    it('keep their owner when another user applies a change, and wait for the owner’s consent', async () => {
      await declare("cron: '0 6 * * *'", "cron: '0 7 * * *'");
      const planned = await waybill('plan', project, '--as', 'bob');
      assert.match(planned.stdout, /~ countries {2}alice’s; begins nothing until alice consents to it/);
      assert.deepEqual(changesOf(await apply('bob')), ['update countries']);
      const { owner, state, reason, terms } = await standing();
      assert.deepEqual(
        [owner.subject, state, reason?.code, terms.cron],
        ['alice', 'blocked', 'ConsentRequired', '0 7 * * *'],
      );
      const waiting = [{ id: 'countries', owner: 'alice', why: 'ConsentRequired' }];
      assert.deepEqual((await apply('bob')).schedules, { changes: [], waiting });
      assert.deepEqual(changesOf(await plan('alice')), ['renew countries']);
      assert.deepEqual(changesOf(await apply('alice')), ['renew countries']);
      assert.equal((await standing()).state, 'active');
      for (const as of ['alice', 'bob'])
        assert.deepEqual((await plan(as)).schedules, { changes: [], waiting: [] });
    });

    it('need a new consent once the version of their pipeline is another, which the API has to serve first', async () => {
      const raised = ["id: 'countries',", "id: 'countries', version: 2,"] as const;
      const text = await readFile(file(), 'utf8');
      await writeFile(join(folder, 'kept.ts'), text);
      const elsewhere = join(folder, 'ahead');
      await cp(project, elsewhere, { recursive: true });
      await writeFile(join(elsewhere, 'package.json'), '{ "name": "acme", "type": "module" }');
      await writeFile(join(elsewhere, 'pipelines/countries.ts'), text.replace(...raised));
      const ahead = await json<Planned>(6, 'apply', elsewhere, '--as', 'alice');
      assert.deepEqual(ahead.schedules!.changes, [
        { change: 'renew', id: 'countries', owner: 'alice', why: 'DefinitionChanged', code: 'NotServed' },
      ]);
      await declare(...raised);
      assert.deepEqual((await plan('bob')).schedules, {
        changes: [],
        waiting: [{ id: 'countries', owner: 'alice', why: 'DefinitionChanged' }],
      });
      assert.deepEqual(changesOf(await apply('alice')), ['renew countries']);
      assert.deepEqual((await plan('alice')).schedules, { changes: [], waiting: [] });
    });

    it('stay when another project is applied, unless it replaces the one that the database holds', async () => {
      const other = join(folder, 'other');
      await cp(project, other, { recursive: true });
      await rm(join(other, 'policies/stewards.cedar'));
      const text = await readFile(file(), 'utf8');
      await writeFile(
        join(other, 'pipelines/countries.ts'),
        text.replace('  schedule: {', '  // schedule: {'),
      );
      const line =
        'The database holds project acme. This is project other. Run apply with --replace to replace it.';
      const [before, { revision }] = [await plan('alice'), await standing()];
      const planned = await json<{ otherProject: string }>(0, 'plan', other, '--as', 'alice');
      assert.equal(planned.otherProject, line);
      const refused = await waybill('apply', other, '--as', 'alice');
      assert.equal(refused.code, 1);
      assert.equal(
        refused.stderr,
        `Schedules that would end: countries. Policies that would be removed: stewards/stewards-schedule. ${line}\n`,
      );
      assert.equal((await waybill('apply', other)).code, 1);
      assert.deepEqual(await plan('alice'), before);
      assert.equal((await standing()).revision, revision);

      const replaced = await json<Planned>(0, 'apply', other, '--replace', '--as', 'alice');
      assert.deepEqual(changesOf(replaced), ['delete countries']);
      assert.deepEqual(changesOf(await json(0, 'apply', other, '--as', 'alice')), []);
      assert.equal((await waybill('apply', project, '--as', 'alice')).code, 1);
      const back = await json<Planned>(0, 'apply', project, '--replace', '--as', 'alice');
      assert.deepEqual(changesOf(back), ['create countries']);
    });

    it('end with their declaration, if the user who applies it may do that', async () => {
      await declare('  schedule: {', '  // schedule: {');
      const refused = await json<Planned>(3, 'apply', project, '--as', 'carol');
      assert.deepEqual(
        refused.schedules!.changes.map(({ change, code }) => [change, code]),
        [['delete', 'Forbidden']],
      );
      assert.deepEqual(changesOf(await apply('bob')), ['delete countries']);
      assert.equal(await codeOf(3, 'schedules', 'get', 'countries', '--as', 'alice'), 'ScheduleNotFound');
      assert.deepEqual((await plan('alice')).schedules, { changes: [], waiting: [] });
    });
  });
});
