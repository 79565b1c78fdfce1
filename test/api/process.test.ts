import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { choosePorts } from '../../dev/stack/ports.ts';
import { createWaybillClient, type Run } from '../../sdk/client.ts';
import { startIssuer } from './issuer.ts';
import { type Api, startApi } from './startApi.ts';

const root = join(import.meta.dirname, '..', '..');

describe('the API as a process', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  function start(change: Record<string, string> = {}): ChildProcess {
    return spawn(process.execPath, [join(root, 'api', 'main.ts')], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {
        PATH: process.env.PATH,
        WAYBILL_API_PORT: '0',
        WAYBILL_DATABASE_URL: api.postgres.apiUrl,
        WAYBILL_PROJECT: join(root, 'examples', 'acme'),
        WAYBILL_OBJECTS: api.objectsFolder,
        WAYBILL_SIGNING_KEYS: api.keysFolder,
        WAYBILL_KEY_ROOTS: `${api.keysFolder}.roots`,
        WAYBILL_WEBHOOK_KEYS: api.webhookKeys,
        WAYBILL_ISSUER: api.issuer.url,
        ...change,
      },
    });
  }

  async function ready(child: ChildProcess): Promise<string> {
    const [message] = (await once(child, 'message')) as [{ ready: boolean; port: number }];
    assert.equal(message.ready, true);
    return `http://127.0.0.1:${message.port}`;
  }

  /** What it has said on standard error by its end. */
  async function untilEnded(child: ChildProcess): Promise<{ code: number | null; said: string }> {
    let said = '';
    child.stderr!.on('data', (chunk) => {
      said += chunk;
    });
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, said };
  }

  it('says where it listens and serves the project', async () => {
    const child = start();
    const url = await ready(child);
    const headers = { authorization: `Bearer ${await api.issuer.token()}` };
    const { items } = (await (await fetch(`${url}/v1/pipelines`, { headers })).json()) as {
      items: { id: string }[];
    };
    assert.ok(items.some(({ id }) => id === 'orders'));
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('killed again and again at any byte of an upload, has each byte once in the end', async () => {
    const { port } = await choosePorts({ port: 0 });
    let child = start({ WAYBILL_API_PORT: String(port) });
    const url = await ready(child);
    const restart = async () => {
      child = start({ WAYBILL_API_PORT: String(port) });
      await ready(child);
    };
    const killsMax = 4;
    let text = '';
    for (let i = 0; text.length < 40_000_000; i++)
      text += `{"order_id":"${i}","note":"${'x'.repeat(i % 1000)}"}\n`;
    const bytes = Buffer.from(text);
    const starts: number[] = [];
    const client = createWaybillClient({ baseUrl: url, token: await api.issuer.token() });
    const run = await client.uploadResumable('orders', {
      sizeBytes: bytes.length,
      async *open(from) {
        const kills = starts.push(from);
        const end = from + Math.random() * (bytes.length - from);
        for (let at = from; at < bytes.length; at += 65_536) {
          if (kills <= killsMax && at >= end) {
            child.kill('SIGKILL');
            await once(child, 'exit');
            void restart();
            throw new Error('the connection is broken');
          }
          yield bytes.subarray(at, at + 65_536);
        }
      },
    });
    assert.equal(starts.length, killsMax + 1);
    const batches = await api.rows<{ digest: string; bytes: Buffer | null }>(
      'SELECT digest, bytes FROM waybill.batch WHERE run_id = $1 ORDER BY seq',
      [run.id],
    );
    const scope = { tenant: 'acme', runId: run.id };
    const kept = await Promise.all(
      batches.map(async ({ digest, bytes }) => bytes ?? api.ports.objects.get(scope, digest)),
    );
    assert.equal(Buffer.concat(kept).equals(bytes), true, starts.join(' '));
    child.kill('SIGTERM');
    await once(child, 'exit');
  });

  it('ends when who started it is gone, although a run is being followed', async () => {
    const child = start();
    const url = await ready(child);
    const headers = {
      authorization: `Bearer ${await api.issuer.token()}`,
      'content-type': 'application/x-ndjson',
    };
    const posted = await fetch(`${url}/v1/pipelines/orders/runs`, {
      method: 'POST',
      headers,
      body: '{"a":1}\n',
    });
    const { links } = (await posted.json()) as { links: { events: string } };
    const events = await fetch(`${url}${links.events}`, { headers });
    const stream = events.body!.getReader();
    await stream.read();
    child.disconnect();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.equal((await stream.read()).done, true);
  });

  it('refuses to start without a policy that validates, and so does a worker', async () => {
    await api.rows(`INSERT INTO waybill.policy_set (digest, policies, roles) VALUES ('x', '{"a/a":
      "permit (principal in Waybill::Role::\\"enginer\\", action, resource);"}', '["engineer"]')`);
    const worker = spawn(process.execPath, [join(root, 'workers', 'main.ts')], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {
        PATH: process.env.PATH,
        WAYBILL_DATABASE_URL: api.postgres.workerUrl,
        WAYBILL_RELAY_DATABASE_URL: api.postgres.relayUrl,
        WAYBILL_PROJECT: join(root, 'examples', 'acme'),
        WAYBILL_OBJECTS: api.objectsFolder,
        WAYBILL_JWKS_URL: `${api.url}/.well-known/jwks.json`,
        WAYBILL_KEY_ROOTS: `${api.keysFolder}.roots`,
        WAYBILL_WEBHOOK_KEYS: api.webhookKeys,
      },
    });
    for (const { code, said } of await Promise.all([start(), worker].map(untilEnded))) {
      assert.equal(code, 1);
      assert.match(said, /^PolicyInvalid: a\/a: entity .*"enginer".*valid entity eids: "engineer"\n$/);
    }
    await api.rows(`DELETE FROM waybill.policy_set WHERE digest = 'x'`);
  });

  it('trusts the issuers of a file instead, each for its tenants', async () => {
    const other = await startIssuer();
    const file = join(api.keysFolder, 'issuers.json');
    const issuers = [
      { issuer: api.issuer.url, tenants: ['acme'], clients: ['waybill-cli'] },
      {
        issuer: other.url,
        tenants: ['globex'],
        tokenTypes: ['JWT'],
        callers: [
          {
            match: [{ claim: 'repository', equals: 'globex/feeds' }],
            tenant: { value: 'globex' },
            roles: { value: ['data-engineer'] },
            kind: { value: 'service' },
          },
        ],
      },
    ];
    await writeFile(file, JSON.stringify({ issuers }));
    const child = start({ WAYBILL_ISSUER: '', WAYBILL_ISSUERS: file });
    const url = await ready(child);
    const trigger = async (token: string) =>
      fetch(`${url}/v1/pipelines/orders/runs`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' },
        body: '{"a":1}\n',
      });
    assert.equal((await trigger(await api.issuer.token())).status, 202);
    // A workload; its platform knows neither its tenant nor its roles nor its kind.
    const now = Math.floor(Date.now() / 1000);
    const workload = { iss: other.url, sub: 'repo:globex/feeds', aud: 'waybill', iat: now, exp: now + 300 };
    const claims = { ...workload, repository: 'globex/feeds' };
    const response = await trigger(await other.sign(claims, { typ: 'JWT' }));
    assert.equal(response.status, 202);
    const { tenant, requestedBy } = (await response.json()) as Run;
    assert.deepEqual([tenant, requestedBy.kind, requestedBy.issuer], ['globex', 'service', other.url]);
    const stranger = { ...workload, repository: 'mallory/feeds', tenant: 'globex', roles: ['operator'] };
    assert.equal((await trigger(await other.sign(stranger, { typ: 'JWT' }))).status, 403);
    // Only where people sign in.
    const metadata = await fetch(`${url}/.well-known/oauth-protected-resource`);
    assert.deepEqual(await metadata.json(), {
      resource: url,
      authorization_servers: [api.issuer.url],
      bearer_methods_supported: ['header'],
    });
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    await other.stop();
  });

  for (const [what, change, says] of [
    ['no issuer', { WAYBILL_ISSUER: '' }, /^Set WAYBILL_ISSUER, or WAYBILL_ISSUERS/m],
    ['two ways to say which issuers', { WAYBILL_ISSUERS: 'x' }, /^Set WAYBILL_ISSUER, or WAYBILL_ISSUERS/m],
    [
      'a file that is not there',
      { WAYBILL_ISSUER: '', WAYBILL_ISSUERS: '/nowhere' },
      /^WAYBILL_ISSUERS: .*ENOENT/m,
    ],
  ] as const)
    it(`does not start with ${what}`, async () => {
      const { code, said } = await untilEnded(start(change));
      assert.equal(code, 2);
      assert.match(said, says);
    });

  it('says which setting is wrong', async () => {
    const { code, said } = await untilEnded(start({ WAYBILL_ISUER: 'x' }));
    assert.equal(code, 2);
    assert.match(said, /^WAYBILL_ISUER is not a setting. Did you mean WAYBILL_ISSUER\?$/m);
  });
});
