import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pg from 'pg';
import { recordOf } from '../../cli/processRecord.ts';
import type { Report } from '../../dev/attack/attackStack.ts';
import { openHome } from '../../dev/stack/home.ts';
import { clusterFolder } from '../../dev/stack/postgresCluster.ts';
import { ensureDatabase } from '../../dev/stack/postgresRoles.ts';
import { unprivilegedUser } from '../../dev/stack/unprivileged.ts';
import type { Decision, Page, Pipeline, Revocation, Run } from '../../sdk/client.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { until } from '../support/until.ts';
import { documents, type Ended, runBlock, runWaybill, startWaybill } from './waybillProcess.ts';

const birdstrikes = 'node_modules/vega-datasets/data/birdstrikes.csv';
const orders = 'examples/acme/data/orders.ndjson';
const freePorts = Object.fromEntries(
  ['API', 'ISSUER', 'TEMPORAL', 'TEMPORAL_UI', 'DATABASE', 'METRICS'].map((part) => [
    `WAYBILL_${part}_PORT`,
    '0',
  ]),
);

describe('waybill', () => {
  let folder: string;
  let home: string;
  let stack: DevStack;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'waybill-cli-'));
    home = join(folder, 'home');
  });

  after(async () => {
    await stack?.stop();
    await rm(await clusterFolder(await openHome(home), unprivilegedUser()), { recursive: true, force: true });
    await rm(folder, { recursive: true });
  });

  const start = (args: readonly string[], env: Record<string, string> = {}, entry?: string) =>
    startWaybill(args, { WAYBILL_HOME: home, ...env }, entry);
  const waybill = (...args: string[]): Promise<Ended> => runWaybill(args, { WAYBILL_HOME: home });

  /** Runs it with `--json`; what it prints is one document, whatever its exit code. */
  async function json<T>(code: number, ...args: string[]): Promise<T> {
    const ended = await waybill(...args, '--json');
    assert.equal(ended.code, code, `${args.join(' ')}: ${ended.stderr}`);
    const printed = documents<T>(ended);
    assert.equal(printed.length, 1);
    return printed[0]!;
  }

  interface Refusal {
    error: { code: string; message: string };
  }

  describe('demo', () => {
    let ended: Ended;
    before(async () => {
      ended = await start(['demo'], freePorts).ended;
    });

    it('needs nothing that runs, and leaves nothing running', () => {
      assert.equal(ended.code, 0, ended.stderr);
      assert.ok(!existsSync(join(home, 'dev.json')));
    });

    it('explains counts that add up', () => {
      assert.match(ended.stdout, /read +10,000 = passed 10,000 \+ filtered +0 \+ rejected 0/);
      assert.match(ended.stdout, /emitted +10,000 = stored +9,976 \+ unchanged 0 \+ deduplicated 24/);
      assert.match(ended.stdout, /read +9 = passed 4 \+ filtered +1 \+ rejected 4/);
    });

    it('has another person approve the run that alice may not approve herself', () => {
      assert.match(ended.stdout, /alice tries to approve it herself: ApproverIsRequester\./);
      assert.match(
        ended.stdout,
        /9,976 rows would be added, 0 changed, 0 are there already; he looks at 20 of them/,
      );
      assert.match(ended.stdout, /bob approves \(dec_\S+\): signed, .*\n +✓ birdstrikes-\S+ completed/);
    });

    it('has a rejected order repaired and stored by a run of the user who repaired it', () => {
      assert.match(ended.stdout, /Its price is the text "1299"\./);
      assert.match(ended.stdout, /tries the order at once: 1 row would be stored/);
      assert.match(ended.stdout, /The dead letter is resolved\.\n +✓ orders-\S+ completed/);
    });

    it('ends with the schedule of tomorrow and its owner', () => {
      assert.match(ended.stdout, /Next at \w{3} \d{4}-\d\d-\d\d 06:00:00 \+0[12]:00 \(Europe\/Vienna\)/);
    });

    it('shows why records were refused, and forged runs too', () => {
      for (const code of [
        'SchemaMismatch',
        'MalformedJson',
        'CurrencyUnexpected',
        'UnknownField',
        'GrantMissing',
        'GrantMismatch',
        'GrantInvalid',
        'RunEnded',
      ])
        assert.match(ended.stdout, new RegExp(code));
    });

    it('shows a right withdrawn mid-run, the next task refused, and the run finished once it is back', () => {
      assert.match(ended.stdout, /her next task is rejected, and the run is suspended:\n +GrantRevoked/);
      assert.match(ended.stdout, /the API rejects alice herself: PrincipalRevoked/);
      assert.match(ended.stdout, /goes on from where it stood\.\n +✓ orders-\S+ completed/);
      assert.match(ended.stdout, /read +80,000 = passed [\d,]+ \+ filtered +[\d,]+ \+ rejected [\d,]+/);
    });
  });

  describe('with a stack that is up', () => {
    before(async () => {
      const roots = join(folder, 'roots');
      await mkdir(roots);
      await copyFile('examples/acme/data/countries.csv', join(roots, 'countries.csv'));
      await writeFile(join(roots, 'empty.csv'), '');
      // The same home: what the demo did is still there.
      stack = await startDevStack({ home, env: { WAYBILL_FILE_ROOTS: roots } });
    });

    function asMigrator(databaseUrl: string): string {
      const password = readFileSync(join(home, 'keys/database/waybill_migrator'), 'utf8');
      const role = { username: 'waybill_migrator', password };
      return Object.assign(new URL(databaseUrl), role).href;
    }

    /** A run that goes on until it is ended: its upload does not. */
    async function endlessRun(): Promise<{ id: string; end(): Promise<void> }> {
      const upload = start(['trigger', 'orders', '--file', '-', '--as', 'alice']);
      // More than one batch, so that the run is there before its last byte.
      const lines = readFileSync(orders);
      for (let bytes = 0; bytes < 20_000_000; bytes += lines.length) upload.child.stdin!.write(lines);
      let id: string | undefined;
      await until('it runs', async () => {
        const { items } = await json<Page<Run>>(0, 'runs', '--state', 'running', '--as', 'alice');
        id = items[0]?.id;
        return id !== undefined;
      });
      return {
        id: id!,
        async end() {
          upload.child.kill('SIGTERM');
          await upload.ended;
        },
      };
    }

    /** A run that waits for a steward. */
    async function waitingRun(): Promise<string> {
      const command = start(['trigger', 'birdstrikes', '--file', birdstrikes, '--as', 'alice', '--wait']);
      const [, id] = await command.says(/Accepted as (birdstrikes-\S+)\./);
      await command.says(/Waits until/);
      command.child.kill('SIGINT');
      assert.equal((await command.ended).code, 6);
      return id!;
    }

    describe('pipelines', () => {
      it('lists those of the project', async () => {
        const { items } = await json<Page<Pipeline>>(0, 'pipelines', '--as', 'bob');
        assert.deepEqual(
          items.map(({ id }) => id),
          ['birdstrikes', 'countries', 'orders'],
        );
        const { stdout } = await waybill('pipelines', '--as', 'bob');
        assert.match(stdout, /birdstrikes +1 +upload csv +postgres birdstrikes/);
      });

      it('shows what one expects', async () => {
        const detail = await json<{ schemas: object }>(0, 'pipelines', 'orders', '--as', 'bob');
        assert.deepEqual(Object.keys(detail.schemas), ['parameters', 'input']);
        const { stdout } = await waybill('pipelines', 'orders', '--as', 'bob');
        assert.match(stdout, /currency EUR \| USD, default EUR/);
      });
    });

    describe('trigger', () => {
      it('uploads a file, says who has to let it through, and shows the end of its run', async () => {
        const command = start(['trigger', 'birdstrikes', '--file', birdstrikes, '--as', 'alice', '--wait']);
        const [, approve] = await command.says(/npx waybill (approvals approve apr_\S+ --as bob)\n/);
        const decided = await json<Decision>(0, ...approve!.split(' '), '--yes', '--wait');
        assert.equal(decided.counted, true);
        const ended = await command.ended;
        assert.equal(ended.code, 0, ended.stderr);
        assert.match(
          ended.stdout,
          /^✓ birdstrikes-\S+ completed in .* s\n +read +10,000 .*\n +emitted +10,000 = stored +0 \+ unchanged 9,976 .*deduplicated 24\n$/,
        );
        assert.match(
          ended.stderr,
          /^Sent 1.2 MB in .* s\.\nAccepted as birdstrikes-\S+\.\n(.*\n)*Waits until .* for approval by data-steward\./,
        );
      });

      it('sends standard input, in the format that the pipeline declares', async () => {
        const command = start(['trigger', 'orders', '--file', '-', '--as', 'alice', '--json', '--wait']);
        command.child.stdin!.end(readFileSync(orders));
        const ended = await command.ended;
        assert.equal(ended.code, 0, ended.stderr);
        const [run] = documents<Run>(ended);
        assert.deepEqual([run!.state, run!.counts.read, run!.counts.rejected], ['completed', 9, 4]);
      });

      it('hands over parameters with an upload', async () => {
        const args = ['trigger', 'orders', '--file', orders, '--as', 'alice', '--wait'];
        const run = await json<Run>(0, ...args, '--param', 'currency=USD');
        assert.equal(run.counts.passed, 1);
        const { error } = await json<Refusal>(1, ...args, '--param', 'currency=GBP');
        assert.equal(error.code, 'ParametersInvalid');
      });

      it('begins a run by reference', async () => {
        const args = ['trigger', 'countries', '--as', 'alice', '--wait'];
        assert.equal((await json<Run>(0, ...args)).counts.stored, 12);
        assert.equal((await json<Run>(0, ...args, '--source', 'countries.csv')).counts.unchanged, 12);
      });

      it('is the same run under the same key', async () => {
        const args = ['trigger', 'orders', '--as', 'alice', '--idempotency-key', 'once', '--file'];
        const first = await json<Run>(0, ...args, orders);
        assert.equal((await json<Run>(0, ...args, orders)).id, first.id);
        assert.equal((await json<Refusal>(1, ...args, birdstrikes)).error.code, 'IdempotencyKeyReused');
      });

      it('says why a large upload is refused before it has ended', async () => {
        const args = ['trigger', 'birdstrikes', '--file', process.execPath, '--as', 'alice'];
        assert.equal((await json<Refusal>(1, ...args)).error.code, 'HeaderInvalid');
      });

      it('does not wait for more input once it was refused', async () => {
        const args = ['trigger', 'orders', '--file', '-', '--param', 'currency=GBP', '--as', 'alice'];
        const command = start(args);
        command.child.stdin!.write(readFileSync(orders));
        assert.equal((await command.ended).code, 1);
        assert.match(command.so.stderr, /^ParametersInvalid: /);
      });

      it('of a run that fails ends with 4', async () => {
        const args = ['trigger', 'countries', '--source', 'empty.csv', '--as', 'alice', '--wait'];
        const run = await json<Run>(4, ...args);
        assert.deepEqual([run.state, run.reason?.code], ['failed', 'SourceEmpty']);
        const { stdout } = await waybill(...args);
        assert.match(stdout, /^✗ countries-\S+ failed after .* s: SourceEmpty: /);
      });

      it('survives an API that is replaced while it waits', async () => {
        const workers = ['worker-1', 'worker-2'].map((name) => stack.pid(name)!);
        for (const pid of workers) process.kill(pid, 'SIGSTOP');
        const args = ['trigger', 'orders', '--file', orders, '--as', 'alice', '--wait', '--json'];
        const command = start(args);
        try {
          await command.says(/Accepted as/);
          const before = stack.pid('api')!;
          process.kill(before, 'SIGKILL');
          await until('the API is back', () =>
            stack.info().processes.some(({ name, pid }) => name === 'api' && pid !== before),
          );
        } finally {
          for (const pid of workers) process.kill(pid, 'SIGCONT');
        }
        const ended = await command.ended;
        assert.equal(ended.code, 0, ended.stderr);
        assert.equal(documents<Run>(ended)[0]!.state, 'completed');
      });
    });

    describe('runs', () => {
      it('lists them, newest first, with those of the demo', async () => {
        const { items } = await json<Page<Run>>(0, 'runs', '--as', 'alice');
        assert.deepEqual(
          items.map(({ createdAt }) => createdAt),
          items.map(({ createdAt }) => createdAt).sort((a, b) => (a < b ? 1 : -1)),
        );
        assert.ok(items.some(({ pipeline }) => pipeline === 'birdstrikes'));
        const { stdout } = await waybill('runs', 'list', '--as', 'alice');
        assert.match(stdout, /^RUN +STATE +BY +READ +STORED +REJECTED +ACCEPTED +TOOK\n/);
        assert.equal(stdout.trimEnd().split('\n').length, items.length + 1);
      });

      it('filters and pages', async () => {
        const failed = await json<Page<Run>>(
          0,
          'runs',
          '--pipeline',
          'countries',
          '--state',
          'failed',
          '--as',
          'bob',
        );
        assert.equal(failed.items.length, 2);
        const first = await json<Page<Run>>(0, 'runs', 'list', '--limit', '2', '--as', 'bob');
        const next = await json<Page<Run>>(0, 'runs', '--cursor', first.nextCursor!, '--as', 'bob');
        assert.equal(first.items.length, 2);
        assert.ok(next.items[0]!.createdAt < first.items[1]!.createdAt);
      });

      it('shows one, but not to another tenant', async () => {
        const { items } = await json<Page<Run>>(0, 'runs', '--limit', '1', '--as', 'alice');
        const { id } = items[0]!;
        assert.deepEqual(await json<Run>(0, 'runs', 'get', id, '--as', 'bob'), items[0]);
        assert.match(
          (await waybill('runs', 'get', id, '--as', 'bob')).stdout,
          new RegExp(`^${id}\n +state +completed\n`),
        );
        assert.equal((await json<Refusal>(3, 'runs', 'get', id, '--as', 'dave')).error.code, 'RunNotFound');
      });

      describe('with data that is still arriving', () => {
        let id: string;
        let end: (() => Promise<void>) | undefined;

        before(async () => {
          ({ id, end } = await endlessRun());
        });
        after(() => end?.());

        it('can be left, with 6, and goes on', async () => {
          const watch = start(['runs', 'watch', id, '--as', 'alice', '--json']);
          await watch.says(/"state":"running"/);
          watch.child.kill('SIGINT');
          const { code, stderr } = await watch.ended;
          assert.equal(code, 6);
          assert.match(stderr, /goes on/);
          assert.equal((await json<Run>(0, 'runs', 'get', id, '--as', 'alice')).state, 'running');
        });

        it('can be cancelled, and the command that watches it exits with 4', async () => {
          const watch = start(['runs', 'watch', id, '--as', 'alice', '--json']);
          await watch.says(/"state":"running"/);
          assert.equal((await json<Run>(0, 'runs', 'cancel', id, '--as', 'bob')).id, id);
          const ended = await watch.ended;
          assert.equal(ended.code, 4, ended.stderr);
          assert.equal(documents<Run>(ended).at(-1)!.state, 'cancelled');
          const again = await json<Refusal>(1, 'runs', 'cancel', id, '--as', 'bob');
          assert.equal(again.error.code, 'RunEnded');
        });
      });
    });

    describe('revoke and restore', () => {
      const refused = ['runs', '--limit', '1', '--as', 'erin'];

      it('know people of the embedded stack by their names', async () => {
        const args = ['principal', 'erin', '--as', 'carol'];
        const revoked = await json<Revocation>(0, 'revoke', ...args, '--reason', 'a test');
        assert.deepEqual([revoked.kind, revoked.reason], ['principal', 'a test']);
        await until('she is refused', async () => (await waybill(...refused)).code !== 0);
        const { error } = await json<Refusal>(3, ...refused);
        assert.equal(error.code, 'PrincipalRevoked');
        assert.equal((await json<Revocation>(0, 'revoke', ...args)).id, revoked.id);
        assert.match(
          (await waybill('revoke', ...args)).stdout,
          / restore principal \S+ --as carol restores /,
        );
        const [restored] = await json<Revocation[]>(0, 'restore', ...args);
        assert.equal(restored!.id, revoked.id);
        await until('she is let in again', async () => (await waybill(...refused)).code === 0);
        assert.match((await json<Refusal>(1, 'restore', ...args)).error.message, /erin/);
      });

      it('tell an agent from its person', async () => {
        const { target } = await json<Revocation>(0, 'revoke', 'principal', 'copilot', '--as', 'carol');
        await until('it is refused', async () => (await waybill('runs', '--as', 'copilot')).code === 3);
        assert.equal((await waybill('runs', '--as', 'alice')).code, 0);
        await json(0, 'restore', 'principal', target, '--as', 'carol');
      });

      it('end with 2 for a kind that there is not', async () => {
        assert.equal((await waybill('revoke', 'tenant', 'acme', '--as', 'carol')).code, 2);
      });
    });

    describe('attack', () => {
      it('has everything refused by its code, on record, and nothing touched', async () => {
        const report = await json<Report>(0, 'attack');
        assert.ok(report.held);
        assert.equal(report.underWay.state, 'completed');
        assert.ok(report.attempts.length >= 18);
        for (const { tried, refused, expected, touched, audited } of report.attempts)
          assert.deepEqual([refused, touched, audited], [expected, false, true], tried);
        // Erin is herself again.
        await json<Page<Run>>(0, 'runs', '--limit', '1', '--as', 'erin');
      });
    });

    describe('worker', () => {
      it('is one more until Ctrl-C, and drains', async () => {
        const one = start(['worker']);
        const [, pid, health] = await one.says(/Worker (\d+)@\S+ is ready \(health: (\S+),/);
        assert.equal((await fetch(new URL('/healthz', health))).status, 200);
        one.child.kill('SIGINT');
        const { code, stderr } = await one.ended;
        assert.equal(code, 0, stderr);
        assert.match(stderr, /Draining; .*\nDrained\./);
        assert.equal(recordOf(Number(pid)), undefined);
      });

      it('ends with the process that started it, however that ended', async () => {
        const one = start(['worker', '--json']);
        await one.says(/healthUrl/);
        const [{ worker }] = documents<{ worker: string }>(one.so) as [{ worker: string }];
        one.child.kill('SIGKILL');
        await one.ended;
        await until('it has ended too', () => recordOf(Number.parseInt(worker, 10)) === undefined);
      });
    });

    describe('apply', () => {
      let url: string;

      before(async () => {
        await ensureDatabase(stack.info().databaseUrl, 'applied');
        url = asMigrator(Object.assign(new URL(stack.info().databaseUrl), { pathname: '/applied' }).href);
      });

      it('makes an empty database ready, and changes nothing the second time', async () => {
        // As docker-compose.yml calls it.
        const first = await start(['apply', 'examples/acme', '--database', url, '--json'], {}, 'cli/main.ts')
          .ended;
        assert.equal(first.code, 0, first.stderr);
        const tables = ['birdstrikes', 'countries', 'orders'];
        const [applied] = documents<{ migrations: string[]; policy: { digest: string } }>(first);
        const { digest } = applied!.policy;
        assert.deepEqual(applied!.migrations.slice(0, 2), ['0001_baseline', '0002_acceptance_order']);
        assert.deepEqual(applied, { ...applied, tables, policy: { digest, before: null } });
        const second = await start(['apply', 'examples/acme', '--json'], {
          WAYBILL_DATABASE_URL: Object.assign(new URL(url), { password: '' }).href,
          WAYBILL_DATABASE_PASSWORD_FILE: join(home, 'keys/database/waybill_migrator'),
        }).ended;
        assert.deepEqual(documents(second), [
          {
            migrations: [],
            tables,
            retention: false,
            limits: false,
            policy: { digest, before: digest },
            stray: [],
            powerless: [],
            schedules: null,
          },
        ]);
        const client = new pg.Client({ connectionString: url });
        await client.connect();
        const { rows } = await client.query(
          "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
        );
        await client.end();
        assert.deepEqual(
          rows.map(({ tablename }) => tablename),
          tables,
        );
      });

      it('is for the role that owns the tables, which in the embedded stack need not be named', async () => {
        const [applied] = documents<{ migrations: string[] }>(
          await waybill('apply', 'examples/acme', '--json'),
        );
        assert.deepEqual(applied!.migrations, []);
        const { databaseUrl } = stack.info();
        const { code, stderr } = await waybill('apply', 'examples/acme', '--database', databaseUrl);
        assert.deepEqual(
          [code, stderr],
          [2, 'The schema waybill is owned by waybill_migrator: apply as that role, not as postgres.\n'],
        );
      });

      it('says in a line what is wrong, and no password', async () => {
        const wrong = new URL(url);
        wrong.password = 'verysecret';
        const { code, stderr } = await waybill('apply', 'examples/acme', '--database', wrong.href);
        assert.equal(code, 1);
        assert.match(stderr, /^The database cannot be reached: .*waybill_migrator.*\n$/);
        assert.doesNotMatch(stderr, /verysecret/);
        assert.equal((await waybill('apply', 'docs', '--database', url)).code, 1);
      });
    });

    describe('token and doctor', () => {
      it('speak JSON too', async () => {
        const { token } = await json<{ token: string }>(0, '--as', 'erin', 'token');
        assert.equal((await waybill('token', '--as', 'erin')).stdout.split('.').length, 3);
        const listed = await start(['runs', '--json'], { WAYBILL_TOKEN: token }).ended;
        assert.equal(listed.code, 0, listed.stderr);
        const { checks } = await json<{ checks: unknown[] }>(0, 'doctor');
        assert.ok(checks.length > 3);
      });
    });

    describe('a command that cannot be meant', () => {
      const wrong: [string[], RegExp][] = [
        [['trigger', 'birdstrikes', '--as', 'alice'], /--file FILE with csv/],
        [['trigger', 'birdstrikes', '--source', 'x', '--as', 'alice'], /--file instead/],
        [['trigger', 'countries', '--file', orders, '--as', 'alice'], /--source instead/],
        [['trigger', 'orders', '--file', 'missing.ndjson', '--as', 'alice'], /no file missing/],
        [['trigger', 'orders', '--file', 'docs', '--as', 'alice'], /is a folder/],
        [['trigger', 'orders', '--file', orders, '--param', 'x', '--as', 'alice'], /name=value/],
        [['trigger'], /missing required argument/],
        [['runs', '--state', 'asleep', '--as', 'alice'], /Allowed choices/],
        [['runs', '--limit', '101', '--as', 'alice'], /1 to 100/],
        [['runs', 'get', '--as', 'alice'], /missing required argument/],
        [['runs', '--as', 'mallory'], /Use one of alice/],
        [['runs'], /--as alice .*WAYBILL_TOKEN/],
        [['token'], /--as alice/],
        [['fly'], /unknown command/],
      ];
      for (const [args, says] of wrong) {
        it(`ends with 2: ${args.join(' ')}`, async () => {
          assert.match((await json<Refusal>(2, ...args)).error.message, says);
          const { stdout, stderr } = await waybill(...args);
          assert.equal(stdout, '');
          assert.match(stderr, says);
          assert.doesNotMatch(stderr, /\n +at /);
        });
      }

      it('ends with 2 for an unknown setting', async () => {
        const { code, stderr } = await start(['runs'], { WAYBILL_TOKN: 'x' }).ended;
        assert.equal(code, 2);
        assert.equal(stderr, 'WAYBILL_TOKN is not a setting. Did you mean WAYBILL_TOKEN?\n');
      });
    });

    describe('a command that is refused or fails', () => {
      it('ends with 3 for a token that is none', async () => {
        const { code, stdout, stderr } = await start(['runs', '--json'], { WAYBILL_TOKEN: 'x.y.z' }).ended;
        assert.equal(code, 3);
        assert.equal(JSON.parse(stdout).error.code, 'Unauthenticated');
        assert.match(stderr, /^Unauthenticated: .*\n$/);
      });

      it('ends with 3 for what is not there, or not the caller’s', async () => {
        const args = ['trigger', 'none', '--file', orders, '--as', 'alice'];
        assert.equal((await json<Refusal>(3, ...args)).error.code, 'PipelineNotFound');
        assert.equal(
          (await json<Refusal>(3, 'runs', 'watch', 'none', '--as', 'alice')).error.code,
          'RunNotFound',
        );
      });

      it('ends with 1 where no API answers', async () => {
        const nowhere = { WAYBILL_API_URL: 'http://127.0.0.1:9', WAYBILL_TOKEN: 'x' };
        const { code, stdout, stderr } = await start(['runs', '--json'], nowhere).ended;
        assert.equal(code, 1);
        assert.equal(JSON.parse(stdout).error.code, 'ApiUnreachable');
        assert.match(stderr, /^ApiUnreachable: .*127\.0\.0\.1:9.*\n$/);
        const elsewhere = await start(['worker'], { WAYBILL_HOME: folder }).ended;
        assert.equal(elsewhere.code, 1);
        assert.match(elsewhere.stderr, /^No embedded stack is up in .*\n$/);
      });
    });

    describe('docs/cli.md, and the commands of docs/policy.md and docs/audit.md', () => {
      const page = readFileSync('docs/cli.md', 'utf8');
      const pages = page + readFileSync('docs/policy.md', 'utf8') + readFileSync('docs/audit.md', 'utf8');
      const blocks = [...pages.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block!);
      let endless: Awaited<ReturnType<typeof endlessRun>> | undefined;
      let ended: string;
      let migratorUrl: string;

      before(async () => {
        const args = ['runs', '--limit', '1', '--state', 'completed', '--as', 'alice'];
        ended = (await json<Page<Run>>(0, ...args)).items[0]!.id;
        migratorUrl = asMigrator(stack.info().databaseUrl);
      });
      after(() => endless?.end());

      it('has examples', () => assert.equal(blocks.length, 28));

      // The suites `demo` and `attack` above have run these two as they stand.
      const seen = ['npx waybill demo\n', 'npx waybill attack\n'];
      it('shows the commands that were run above', () => {
        for (const block of seen) assert.ok(blocks.includes(block), block);
      });

      for (const block of blocks.filter((one) => !seen.includes(one))) {
        it(`shows what works as it stands there: ${block.split('\n', 1)}`, async () => {
          // Not before it is needed: an upload that brings nothing for a minute is ended by the API.
          if (block.includes('runs cancel')) endless = await endlessRun();
          const { code, stdout, stderr } = await runBlock(block, {
            WAYBILL_HOME: home,
            RUN: block.includes('runs cancel') ? endless!.id : ended,
            APPROVAL: block.includes('$APPROVAL') ? await waitingRun() : '',
            MIGRATOR_URL: migratorUrl,
          });
          assert.equal(code, 0, stderr);
          assert.notEqual(stdout, '');
        });
      }

      it('speaks of every command', async () => {
        const { stdout } = await waybill('--help');
        const names = [...stdout.matchAll(/^ {2}(\w+) /gm)]
          .map(([, name]) => name!)
          .filter((name) => name !== 'help');
        assert.deepEqual(
          names.filter((name) => !page.match(new RegExp(`^## .*\\b${name}\\b`, 'm'))),
          [],
        );
      });
    });
  });
});
