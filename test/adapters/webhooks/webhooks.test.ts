import assert from 'node:assert/strict';
import type { LookupAddress, lookup } from 'node:dns';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { createCallbackCheck } from '../../../adapters/webhooks/checkCallback.ts';
import { addRoot, ensureRoot } from '../../../adapters/webhooks/rootFolder.ts';
import { createWebhookSender } from '../../../adapters/webhooks/sendWebhook.ts';
import { openWebhookKeys } from '../../../adapters/webhooks/webhookKeys.ts';
import { overlapS } from '../../../domain/webhooks/webhookKey.ts';
import { startReceiver, verifies } from '../../support/webhookReceiver.ts';

const event = {
  id: 'dlv_0197f3a0-1c2d-7e3f-8a4b-5c6d7e8f9a0b',
  type: 'run.completed',
  timestamp: '2026-01-01T00:00:00.000Z',
  data: { run: 'orders-1', note: 'ö “quoted” \u{1F4E6}' },
} as const;

type Keys = ReturnType<typeof openWebhookKeys>;

async function whpksOf(keys: Keys, tenant: string): Promise<string[]> {
  return (await keys.publicKeys(tenant)).keys.map((key) => (key as { whpk: string }).whpk);
}

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-webhooks-'));
});
after(() => rm(folder, { recursive: true }));

describe('keys of webhooks', () => {
  let roots: string;
  let n = 0;
  let nowMs: number;
  const later = () => openWebhookKeys(roots, () => nowMs);
  beforeEach(() => {
    roots = join(folder, `roots-${n++}`);
    nowMs = 1_800_000_000_000;
  });
  const signed = async (keys: Keys, tenant: string) => {
    const signatures = await keys.sign(tenant, `${event.id}.${nowMs / 1000}.{}`);
    return {
      headers: {
        'webhook-id': event.id,
        'webhook-timestamp': String(nowMs / 1000),
        'webhook-signature': signatures.map((one) => `v1a,${one}`).join(' '),
      },
      body: '{}',
    };
  };

  it('are made once, and are the same in every process that reads them', async () => {
    await ensureRoot(roots, nowMs / 1000);
    await ensureRoot(roots, nowMs / 1000);
    assert.equal((await readdir(roots)).length, 1);
    assert.deepEqual(await later().publicKeys('acme'), await later().publicKeys('acme'));
  });

  it('differ between tenants, so that what one of them got proves nothing to another', async () => {
    await ensureRoot(roots, nowMs / 1000);
    const keys = later();
    const message = await signed(keys, 'acme');
    assert.equal(verifies(message, await whpksOf(keys, 'acme'), nowMs / 1000), true);
    assert.equal(verifies(message, await whpksOf(keys, 'globex'), nowMs / 1000), false);
    assert.equal(verifies(message, await whpksOf(keys, 'acme '), nowMs / 1000), false);
  });

  it('rotate with overlap: for a week both sign, and either is enough', async () => {
    await addRoot(roots, nowMs / 1000);
    const keys = later();
    const before = await whpksOf(keys, 'acme');
    nowMs += 60_000;
    const { id } = await keys.rotate();
    assert.equal((await keys.rotate()).id, id, 'one at a time');
    const both = await whpksOf(keys, 'acme');
    assert.deepEqual(both.slice(1), before);
    const message = await signed(keys, 'acme');
    for (const whpk of both) assert.equal(verifies(message, [whpk], nowMs / 1000), true);
    nowMs += overlapS * 1000;
    assert.deepEqual(await whpksOf(keys, 'acme'), both.slice(0, 1));
    assert.equal(verifies(await signed(keys, 'acme'), before, nowMs / 1000), false);
  });

  it('count no more within seconds once the root is removed, and without any nothing is signed', async () => {
    const { id } = await addRoot(roots, nowMs / 1000);
    const keys = later();
    await keys.sign('acme', '');
    await rm(join(roots, `${id}.jwk`));
    nowMs += 6_000;
    await assert.rejects(keys.sign('acme', ''), { code: 'KeysUnavailable' });
  });

  it('are refused where others could read the root', async () => {
    const { id } = await addRoot(roots, nowMs / 1000);
    await chmod(join(roots, `${id}.jwk`), 0o644);
    await assert.rejects(later().publicKeys('acme'), { code: 'KeysUnavailable' });
  });
});

describe('sending', () => {
  let keys: Keys;
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  before(async () => {
    const roots = join(folder, 'sending');
    await ensureRoot(roots, Math.floor(Date.now() / 1000));
    keys = openWebhookKeys(roots);
    receiver = await startReceiver();
  });
  after(() => receiver.stop());
  beforeEach(() => {
    receiver.received.length = 0;
    receiver.answerBy((response) => void response.writeHead(204).end());
  });

  const sender = (callbackAllow = [receiver.host], at?: typeof lookup) =>
    createWebhookSender({ keys, callbackAllow, ...(at && { lookup: at }) });
  const send = (url: string) => sender().send({ event, url, tenant: 'acme' });

  it('is a POST with a signature that the receiver verifies by the published key', async () => {
    assert.deepEqual(await send(`${receiver.url}/hook?for=me`), { outcome: 'answered', status: 204 });
    const [got] = receiver.received;
    assert.equal(got!.path, '/hook?for=me');
    assert.equal(got!.headers['webhook-id'], event.id);
    assert.equal(got!.headers['content-type'], 'application/json');
    assert.equal(got!.headers.authorization, undefined);
    assert.deepEqual(JSON.parse(got!.body), {
      type: event.type,
      timestamp: event.timestamp,
      data: event.data,
    });
    const whpks = await whpksOf(keys, 'acme');
    assert.equal(verifies(got!, whpks), true);
    const tampered = [
      { ...got!, body: got!.body.replace('orders-1', 'orders-2') },
      { ...got!, headers: { ...got!.headers, 'webhook-id': event.id.replace('0', '1') } },
      {
        ...got!,
        headers: { ...got!.headers, 'webhook-timestamp': `${Number(got!.headers['webhook-timestamp']) + 1}` },
      },
      { ...got!, headers: { ...got!.headers, 'webhook-signature': `v1,${'A'.repeat(44)}` } },
      { ...got!, headers: {} },
    ];
    for (const one of tampered) assert.equal(verifies(one, whpks), false);
  });

  it('is not believed by a receiver five minutes later', async () => {
    await send(receiver.url);
    const whpks = await whpksOf(keys, 'acme');
    const sentAtS = Number(receiver.received[0]!.headers['webhook-timestamp']);
    assert.equal(verifies(receiver.received[0]!, whpks, sentAtS + 300), true);
    assert.equal(verifies(receiver.received[0]!, whpks, sentAtS + 301), false);
    assert.equal(verifies(receiver.received[0]!, whpks, sentAtS - 301), false);
  });

  it('tells what the receiver answered, and how long it wants to be left alone', async () => {
    receiver.answerBy((response) => void response.writeHead(429, { 'retry-after': '120' }).end('later'));
    assert.deepEqual(await send(receiver.url), { outcome: 'answered', status: 429, retryAfterMs: 120_000 });
  });

  it('follows no redirect', async () => {
    receiver.answerBy((response) => void response.writeHead(307, { location: '/other' }).end());
    assert.deepEqual(await send(receiver.url), { outcome: 'answered', status: 307 });
    assert.equal(receiver.received.length, 1);
  });

  it('does not wait for a body that never ends', async () => {
    receiver.answerBy((response) => void response.writeHead(200).write('x'.repeat(1_000_000)));
    assert.deepEqual(await send(receiver.url), { outcome: 'answered', status: 200 });
  });

  it('tells apart a receiver that is not there from one that refuses', async () => {
    const gone = await startReceiver();
    await gone.stop();
    const answer = await sender([gone.host]).send({ event, url: gone.url, tenant: 'acme' });
    assert.deepEqual(answer, { outcome: 'unreachable', why: 'ECONNREFUSED' });
  });

  it('gives up on one that says nothing after 15 s', { timeout: 30_000 }, async () => {
    receiver.answerBy(() => {});
    const from = performance.now();
    const answer = await send(receiver.url);
    assert.deepEqual(answer, { outcome: 'unreachable', why: 'TimeoutError' });
    assert.ok(performance.now() - from < 20_000);
  });

  const named =
    (...addresses: string[]) =>
    (_: string, options: { all?: boolean }, callback: (...found: unknown[]) => void) => {
      const found: LookupAddress[] = addresses.map((address) => ({
        address,
        family: address.includes(':') ? 6 : 4,
      }));
      if (options.all) callback(null, found);
      else callback(null, found[0]!.address, found[0]!.family);
    };

  it('goes to no name that leads to an address that is not public, whatever it led to before', async () => {
    for (const addresses of [
      ['127.0.0.1'],
      ['10.0.0.1'],
      ['93.184.216.34', '169.254.169.254'],
      ['::ffff:7f00:1'],
    ]) {
      const asked = sender([], named(...addresses) as unknown as typeof lookup);
      await assert.rejects(asked.send({ event, url: 'https://hooks.example/x', tenant: 'acme' }), {
        code: 'CallbackRefused',
      });
    }
  });

  it('makes no connection to what it refuses', async () => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    for (const host of [
      '127.0.0.1',
      '2130706433',
      '0x7f.1',
      'localhost',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '127.1',
    ]) {
      await assert.rejects(sender([]).send({ event, url: `https://${host}:${port}/`, tenant: 'acme' }), {
        code: 'CallbackRefused',
      });
    }
    assert.equal(connections, 0);
    server.close();
  });
});

describe('which URLs may be called back', () => {
  const check = createCallbackCheck({ callbackAllow: ['hooks.internal:8080', '127.0.0.1:9000'] });
  for (const url of [
    'https://hooks.example/x',
    'https://hooks.example:8443/',
    'http://hooks.internal:8080/a',
    'http://127.0.0.1:9000/',
  ])
    it(`${url} may`, () => assert.doesNotThrow(() => check(url)));
  for (const url of [
    'http://hooks.example/x',
    'ftp://hooks.example/',
    'file:///etc/passwd',
    'https://user:secret@hooks.example/',
    'https://127.0.0.1/',
    'http://127.0.0.1:9001/',
    'https://2130706433/',
    'https://0x7f000001/',
    'https://0177.0.0.1/',
    'https://[::1]/',
    'https://[::ffff:7f00:1]/',
    'https://[64:ff9b::7f00:1]/',
    'https://[fe80::1]/',
    'https://169.254.169.254/latest/meta-data',
    'https://10.1.2.3/',
    'https://localhost/',
    'https://LOCALHOST./',
    'https://api.localhost/',
    'https://0/',
    'not a url',
    '',
  ])
    it(`${JSON.stringify(url)} may not`, () => assert.throws(() => check(url), { code: 'CallbackRefused' }));
});
