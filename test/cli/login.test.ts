import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as oidc from 'openid-client';
import { cliClientId } from '../../cli/embedded/obtainToken.ts';
import type { Caller, Run } from '../../sdk/client.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { openBrowser } from './browser.ts';
import {
  documents,
  type Ended,
  type RunningCommand,
  runWaybill,
  startCommand,
  startWaybill,
} from './waybillProcess.ts';

interface LoginsFile {
  logins: Record<string, { accessToken: string; refreshToken: string; expiresAt: string }>;
}

const root = join(import.meta.dirname, '..', '..');

describe('signing in', () => {
  const browser = openBrowser();
  let stack: DevStack;
  let config: string;
  let apiUrl: string;
  let file: string;

  before(async () => {
    config = await mkdtemp(join(tmpdir(), 'waybill-login-'));
    stack = await startDevStack({ workers: 0 });
    apiUrl = stack.info().apiUrl;
    file = join(config, 'waybill', 'logins.json');
  });
  after(async () => {
    await stack.stop();
    await rm(config, { recursive: true });
  });

  /** A user on another machine, who knows only the address of the API. */
  const elsewhere = () => ({ WAYBILL_API_URL: apiUrl, XDG_CONFIG_HOME: config });
  const waybill = (...args: string[]): Promise<Ended> => runWaybill(args, elsewhere());
  const start = (...args: string[]): RunningCommand => startWaybill(args, elsewhere());
  const kept = () => (JSON.parse(readFileSync(file, 'utf8')) as LoginsFile).logins;

  async function login(browser: ReturnType<typeof openBrowser>, name: string, ...args: string[]) {
    const command = start('login', ...args);
    const [, page] = await command.says(/Open (\S+) and sign in/);
    await browser.signIn(page!, name);
    return command.ended;
  }

  it('needs a browser, which may be elsewhere', async () => {
    const { code, stdout, stderr } = await login(browser, 'alice');
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `Signed in at ${apiUrl} as alice of acme (data-engineer).\n`);
    assert.match(stderr, /The page must show the code \w{4}-\w{4}\.\n$/);
  });

  it('is kept for its owner alone, one entry for each API', () => {
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(join(config, 'waybill')).mode & 0o777, 0o700);
    assert.deepEqual(Object.keys(kept()), [apiUrl]);
  });

  it('counts for the commands that follow', async () => {
    const { stdout } = await waybill('whoami');
    assert.match(stdout, /^subject +alice \(person\)\ntenant +acme\nroles +data-engineer\nissuer +http/);
    assert.equal((await waybill('pipelines')).code, 0);
  });

  it('--as and WAYBILL_TOKEN come first', async () => {
    const env = { WAYBILL_HOME: stack.home, XDG_CONFIG_HOME: config };
    const asCopilot = await runWaybill(['whoami', '--as', 'copilot', '--json'], env);
    const [caller] = documents<Caller>(asCopilot);
    assert.deepEqual([caller!.subject, caller!.actor?.subject], ['alice', 'copilot']);
    assert.match((await runWaybill(['whoami', '--as', 'copilot'], env)).stdout, /^actor +copilot/m);
    const withToken = { WAYBILL_API_URL: apiUrl, XDG_CONFIG_HOME: config, WAYBILL_TOKEN: 'x.y.z' };
    assert.equal((await runWaybill(['whoami'], withToken)).code, 3);
  });

  it('is renewed silently, once, however many commands want it', async () => {
    const before = kept();
    before[apiUrl]!.expiresAt = new Date().toISOString();
    writeFileSync(file, JSON.stringify({ logins: before }));
    const all = await Promise.all([1, 2, 3].map(() => start('whoami', '--json').ended));
    assert.deepEqual(
      all.map(({ code, stderr }) => [code, stderr]),
      Array(3).fill([0, '']),
    );
    const after = kept();
    assert.notEqual(after[apiUrl]!.accessToken, before[apiUrl]!.accessToken);
    assert.notEqual(after[apiUrl]!.refreshToken, before[apiUrl]!.refreshToken);
    assert.ok(Date.parse(after[apiUrl]!.expiresAt) > Date.now() + 3_000_000);
  });

  it('does not use a file that others may read', async () => {
    chmodSync(file, 0o644);
    const { code, stderr } = await waybill('whoami');
    chmodSync(file, 0o600);
    assert.equal(code, 1);
    assert.match(stderr, /others may read it: chmod 600/);
  });

  it('ends where its person signs out at the identity provider, which tells Waybill', async () => {
    const { end_session_endpoint } = (await discover(cliClientId, oidc.None())).serverMetadata();
    await browser.signOut(end_session_endpoint!);
    const startedMs = performance.now();
    let ended = await waybill('whoami');
    while (ended.code === 0 && performance.now() - startedMs < 10_000) ended = await waybill('whoami');
    assert.equal(ended.code, 3);
    assert.match(ended.stderr, /^SignedOut: .*Sign in again/);
    assert.equal((await login(browser, 'alice')).code, 0);
    assert.equal((await waybill('whoami')).code, 0);
  });

  it('ends with its refresh token at the identity provider too', async () => {
    const { refreshToken } = kept()[apiUrl]!;
    const { code, stdout } = await waybill('logout');
    assert.equal(code, 0);
    assert.equal(stdout, `Signed out of ${apiUrl}.\n`);
    assert.deepEqual(kept(), {});
    const provider = await discover(cliClientId, oidc.None());
    await assert.rejects(oidc.refreshTokenGrant(provider, refreshToken), { error: 'invalid_grant' });
    assert.equal((await waybill('logout')).stdout, `You were not signed in at ${apiUrl}.\n`);
  });

  it('without a login a command does not know the caller', async () => {
    const { code, stderr } = await waybill('whoami');
    assert.equal(code, 2);
    assert.match(stderr, /waybill login/);
  });

  it('ends with 3 where it was declined', async () => {
    const command = start('login', '--json');
    const [, page] = await command.says(/Open (\S+) and sign in/);
    await openBrowser().decline(page!);
    const ended = await command.ended;
    assert.equal(ended.code, 3, ended.stderr);
    assert.match(documents<{ error: { message: string } }>(ended)[0]!.error.message, /declined/);
  });

  it('ends with 6 when it is interrupted before the sign-in', async () => {
    const command = start('login');
    await command.says(/Open \S+ and sign in/);
    command.child.kill('SIGINT');
    assert.equal((await command.ended).code, 6);
  });

  for (const [what, args, env, code, says] of [
    ['an API that does not answer', [], { WAYBILL_API_URL: 'http://127.0.0.1:9' }, 1, /does not answer/],
    [
      'an issuer that does not answer',
      ['--issuer', 'http://127.0.0.1:9'],
      {},
      1,
      /127\.0\.0\.1:9 does not answer/,
    ],
    ['a client that the issuer does not know', ['--client', 'stranger'], {}, 3, /refuses/],
  ] as const)
    it(`says so of ${what}`, async () => {
      const ended = startWaybill(['login', ...args], {
        WAYBILL_API_URL: apiUrl,
        XDG_CONFIG_HOME: config,
        ...env,
      });
      const { code: exit, stderr } = await ended.ended;
      assert.equal(exit, code, stderr);
      assert.match(stderr, says);
    });

  it('an API that calls itself otherwise is not believed', async () => {
    const other = apiUrl.replace('127.0.0.1', 'localhost');
    const { code, stderr } = await startWaybill(['login'], {
      WAYBILL_API_URL: other,
      XDG_CONFIG_HOME: config,
    }).ended;
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`calls itself ${apiUrl}`));
  });

  it('a service needs no browser: docs/identity-providers.md shows how its key gets it a token, and that a run', async () => {
    const folder = join(config, 'service');
    mkdirSync(join(folder, 'node_modules'), { recursive: true });
    symlinkSync(stack.home, join(folder, '.waybill'));
    for (const name of ['waybill', 'jose', 'openid-client'])
      symlinkSync(
        name === 'waybill' ? root : join(root, 'node_modules', name),
        join(folder, 'node_modules', name),
      );
    const page = readFileSync(join(root, 'docs/identity-providers.md'), 'utf8');
    writeFileSync(join(folder, 'service.mts'), /```ts\n([\s\S]*?)```/.exec(page)![1]!);
    const { code, stdout, stderr } = await startCommand(process.execPath, ['service.mts'], {}, folder).ended;
    assert.equal(code, 0, stderr);
    const [, run] = /^(countries-\S+) for billing-service\n$/.exec(stdout)!;
    const carol = await stack.as('carol');
    const { requestedBy } = (await (await carol(`/v1/runs/${run}`)).json()) as Run;
    assert.deepEqual([requestedBy.subject, requestedBy.kind], ['billing-service', 'service']);
  });

  function discover(id: string, proof: oidc.ClientAuth) {
    const issuer = new URL(stack.info().issuerUrl);
    return oidc.discovery(issuer, id, undefined, proof, { execute: [oidc.allowInsecureRequests] });
  }
});
