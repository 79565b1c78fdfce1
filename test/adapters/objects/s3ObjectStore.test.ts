import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { openS3ObjectStore, type S3ObjectStoreOptions } from '../../../adapters/objects/s3ObjectStore.ts';
import { rotatingKeys } from '../../../connectors/s3/s3Keys.ts';
import { listUploads, startMultipart } from '../../../connectors/s3/s3Multipart.ts';
import { listObjects, putNewObject } from '../../../connectors/s3/s3Objects.ts';
import { createS3Requests, type S3Requests } from '../../../connectors/s3/s3Requests.ts';
import type { ObjectStore } from '../../../domain/ports/objects.ts';
import { objectStoreConformance } from '../../conformance/objects.ts';
import { fixedKeys, noS3Server, type S3Server, startS3Server } from '../../support/s3Server.ts';

const mebibyte = 1024 * 1024;

describe('object store in S3', { skip: noS3Server, timeout: 120_000 }, () => {
  let server: S3Server;
  before(async () => {
    server = await startS3Server();
  });
  after(() => server?.stop());

  const open = async (options: Partial<S3ObjectStoreOptions> = {}) => {
    const { bucket, requests } = await server.newBucket();
    return { bucket, requests, store: await openS3ObjectStore(requests, { prefix: 'waybill', ...options }) };
  };
  objectStoreConformance('S3', async () => (await open()).store);
  objectStoreConformance(
    'S3, large objects in parts',
    async () => (await open({ singlePutBytesMax: 0 })).store,
  );

  const scope = { tenant: '../acme', runId: 'orders-1' };
  const keysOf = async (requests: S3Requests) => {
    const keys: string[] = [];
    for await (const { key } of listObjects(requests, { prefix: '', pageMax: 2 })) keys.push(key);
    return keys;
  };

  async function write(store: ObjectStore, chunks: readonly Uint8Array[]): Promise<string> {
    const writer = await store.create(scope);
    for (const chunk of chunks) await writer.write(chunk);
    return (await writer.finish()).digest;
  }

  it('writes an object of any size in parts, and leaves nothing beside it', async () => {
    const { store, requests } = await open({ singlePutBytesMax: mebibyte, copyBytesMax: 6 * mebibyte });
    const chunks = Array.from({ length: 29 }, () => randomBytes(mebibyte - 1));
    const whole = Buffer.concat(chunks);
    const digest = await write(store, chunks);
    assert.equal(digest, createHash('sha256').update(whole).digest('hex'));
    assert.ok(Buffer.from(await store.get(scope, digest)).equals(whole));
    assert.equal((await keysOf(requests)).length, 1);
    assert.deepEqual(await listUploads(requests, ''), []);
  });

  it('sends parts early where all writers together hold more than the bound of memory', async () => {
    const { store, requests } = await open({ memoryBytesMax: 8 * mebibyte });
    const writers = await Promise.all([1, 2, 3, 4].map(() => store.create(scope)));
    const chunks = Array.from({ length: 11 }, () => randomBytes(mebibyte));
    await Promise.all(
      writers.map(async (writer, n) => {
        await writer.write(Buffer.from(`${n}`));
        for (const chunk of chunks) await writer.write(chunk);
      }),
    );
    assert.equal((await listUploads(requests, 'waybill/tmp/')).length, 4);
    for (const [n, writer] of writers.entries()) {
      const { digest } = await writer.finish();
      const whole = Buffer.concat([Buffer.from(`${n}`), ...chunks]);
      assert.ok(Buffer.from(await store.get(scope, digest)).equals(whole));
    }
  });

  it('leaves no part and no object behind an abort', async () => {
    const { store, requests } = await open({ singlePutBytesMax: mebibyte });
    const writer = await store.create(scope);
    for (let n = 0; n < 12; n++) await writer.write(randomBytes(mebibyte));
    await writer.abort();
    assert.deepEqual(await keysOf(requests), []);
    assert.deepEqual(await listUploads(requests, ''), []);
  });

  it('holds no tenant’s name, and begins every key with the prefix', async () => {
    const { store, requests } = await open();
    await store.put(scope, Buffer.from('x'));
    const [key] = await keysOf(requests);
    assert.match(key!, /^waybill\/[0-9a-f]{32}\/[0-9a-f]{2}\/orders-1\.[0-9a-f]{64}$/);
  });

  it('does not replace an object, so that readers of its first version stay right', async () => {
    const { store, requests } = await open();
    const digest = await store.put(scope, Buffer.from('genuine'));
    const [key] = await keysOf(requests);
    assert.equal(await putNewObject(requests, key!, Buffer.from('altered')), 'present');
    assert.equal(Buffer.from(await store.get(scope, digest)).toString(), 'genuine');
  });

  it('takes one of twenty that write the same key at once', async () => {
    const { requests } = await open();
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, n) => putNewObject(requests, 'race', Buffer.from(`${n}`))),
    );
    assert.equal(results.filter((result) => result === 'written').length, 1);
  });

  it('notices bytes that were changed in the bucket', async () => {
    const { store, requests } = await open();
    const digest = await store.put(scope, Buffer.from('genuine'));
    const [key] = await keysOf(requests);
    await (await requests.send({ method: 'PUT', key: key!, body: Buffer.from('altered') })).body.dump();
    await assert.rejects(store.get(scope, digest), { code: 'BatchCorrupt' });
  });

  it('lets the server reject bytes that changed on the way', async () => {
    const { requests } = await open();
    await assert.rejects(putNewObject(requests, 'k', Buffer.from('altered'), '0'.repeat(64)), {
      status: 400,
    });
  });

  it('removes more objects than one request may name', async () => {
    const { store, requests } = await open();
    const digest = await store.put(scope, Buffer.from('x'));
    const absent = Array.from({ length: 1_500 }, (_, n) => n.toString(16).padStart(64, '0'));
    await store.remove(scope, [...absent, digest]);
    assert.deepEqual(await keysOf(requests), []);
  });

  it('sweeps no upload or object that is younger than a day', async () => {
    const { requests } = await open();
    await startMultipart(requests, 'waybill/tmp/upload');
    await putNewObject(requests, 'waybill/tmp/object', Buffer.from('x'));
    await openS3ObjectStore(requests, { prefix: 'waybill' });
    assert.deepEqual(await keysOf(requests), ['waybill/tmp/object']);
    assert.equal((await listUploads(requests, 'waybill/tmp/')).length, 1);
  });

  it('sweeps what a killed process left a day ago', async (t) => {
    const { requests } = await open();
    await startMultipart(requests, 'waybill/tmp/upload');
    await putNewObject(requests, 'waybill/tmp/object', Buffer.from('x'));
    await putNewObject(requests, 'tmp/of another', Buffer.from('x'));
    const realNow = Date.now;
    t.mock.method(Date, 'now', () => realNow() + 25 * 3_600_000);
    await openS3ObjectStore(requests, { prefix: 'waybill' });
    assert.deepEqual(await keysOf(requests), ['tmp/of another']);
    assert.deepEqual(await listUploads(requests, ''), []);
  });

  it('is StorageUnavailable without the bucket, with wrong keys and without an answer', async () => {
    const at = { region: server.region, endpoint: server.endpoint };
    const wrong = '{"AccessKeyId":"OWNER","SecretAccessKey":"wrong"}';
    for (const requests of [
      createS3Requests({ ...at, bucket: 'absent' }, { keys: fixedKeys(server.credentials) }),
      createS3Requests({ ...at, bucket: 'absent' }, { keys: fixedKeys(wrong) }),
      createS3Requests({ ...at, bucket: 'b', endpoint: 'http://127.0.0.1:9' }, { keys: fixedKeys(wrong) }),
    ])
      await assert.rejects(openS3ObjectStore(requests, { prefix: '' }), { code: 'StorageUnavailable' });
  });

  it('goes on when the server is killed and comes back', async () => {
    const { store } = await open();
    const digest = await store.put(scope, Buffer.from('before'));
    await server.kill();
    const put = store.put(scope, Buffer.from('while it is away'));
    const get = store.get(scope, digest);
    await server.start();
    assert.equal(Buffer.from(await get).toString(), 'before');
    assert.equal((await store.get(scope, await put)).length, 16);
  });

  it('loses no request while keys rotate, ten times under load', async () => {
    const { bucket } = await open();
    let account = await server.addAccount();
    const requests = createS3Requests(
      { bucket, region: server.region, endpoint: server.endpoint },
      { keys: rotatingKeys({ current: async () => account.credentials }) },
    );
    const store = await openS3ObjectStore(requests, { prefix: '' });
    let isDone = false;
    let done = 0;
    const load = Array.from({ length: 8 }, async (_, n) => {
      while (!isDone) {
        const bytes = Buffer.from(`${n} ${done++}`);
        assert.deepEqual(Buffer.from(await store.get(scope, await store.put(scope, bytes))), bytes);
      }
    });
    for (let rotation = 0; rotation < 10; rotation++) {
      const old = account;
      // Half of the times the old keys end first, as where an operator revokes keys that leaked.
      if (rotation % 2) await old.remove();
      account = await server.addAccount();
      if (rotation % 2 === 0) await old.remove();
      for (const at = done; done < at + 20; ) await pause(5);
    }
    isDone = true;
    await Promise.all(load);
  });
});
