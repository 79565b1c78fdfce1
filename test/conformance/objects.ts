import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { ObjectScope, ObjectStore } from '../../domain/ports/objects.ts';

/** What every object store must do, whatever it is made of. `open` returns an empty store. */
export function objectStoreConformance(name: string, open: () => Promise<ObjectStore>): void {
  const scope: ObjectScope = { tenant: 'acme', runId: 'orders-0197a3b4-0000-7000-8000-000000000001' };
  const bytes = Buffer.from('{"order_id":1}\n{"order_id":2}\n');
  const digest = createHash('sha256').update(bytes).digest('hex');

  describe(`object store: ${name}`, () => {
    it('returns what was put, by its SHA-256', async () => {
      const store = await open();
      assert.equal(await store.put(scope, bytes), digest);
      assert.deepEqual(Buffer.from(await store.get(scope, digest)), bytes);
    });

    it('puts the same bytes twice without harm', async () => {
      const store = await open();
      await Promise.all([store.put(scope, bytes), store.put(scope, bytes)]);
      assert.deepEqual(Buffer.from(await store.get(scope, digest)), bytes);
    });

    it('keeps an empty object', async () => {
      const store = await open();
      const empty = await store.put(scope, new Uint8Array());
      assert.equal((await store.get(scope, empty)).length, 0);
    });

    it('writes a stream of chunks of any size as one object', async () => {
      const store = await open();
      const chunks = [
        Buffer.alloc(3, 'a'),
        Buffer.alloc(700_000, 'b'),
        Buffer.alloc(1, 'c'),
        Buffer.alloc(262_144, 'd'),
      ];
      const writer = await store.create(scope);
      for (const chunk of chunks) await writer.write(chunk);
      const whole = Buffer.concat(chunks);
      const finished = await writer.finish();
      assert.deepEqual(finished, {
        digest: createHash('sha256').update(whole).digest('hex'),
        sizeBytes: whole.length,
      });
      assert.deepEqual(Buffer.from(await store.get(scope, finished.digest)), whole);
    });

    it('writes an object of many mebibytes, and reads its end', async () => {
      const store = await open();
      const writer = await store.create(scope);
      const hash = createHash('sha256');
      for (let n = 0; n < 37; n++) {
        const chunk = Buffer.alloc(500_000 + n, n);
        hash.update(chunk);
        await writer.write(chunk);
      }
      const { digest: written, sizeBytes } = await writer.finish();
      assert.equal(written, hash.digest('hex'));
      assert.equal((await store.get(scope, written)).length, sizeBytes);
      assert.deepEqual([...(await store.getRange(scope, written, sizeBytes - 2, 10))], [36, 36]);
      assert.equal((await store.getRange(scope, written, sizeBytes, 10)).length, 0);
    });

    it('does not keep the caller’s buffer between writes', async () => {
      const store = await open();
      const writer = await store.create(scope);
      const reused = Buffer.from('one,');
      await writer.write(reused);
      reused.write('two,');
      await writer.write(reused);
      const { digest: written } = await writer.finish();
      assert.equal(Buffer.from(await store.get(scope, written)).toString(), 'one,two,');
    });

    it('shows nothing before finish, and nothing after abort', async () => {
      const store = await open();
      const writer = await store.create(scope);
      await writer.write(bytes);
      await assert.rejects(store.get(scope, digest), { code: 'BatchNotFound' });
      await writer.abort();
      await writer.abort();
      await assert.rejects(store.get(scope, digest), { code: 'BatchNotFound' });
    });

    it('keeps a finished object when it is aborted afterwards', async () => {
      const store = await open();
      const writer = await store.create(scope);
      await writer.write(bytes);
      await writer.finish();
      await writer.abort();
      assert.equal((await store.get(scope, digest)).length, bytes.length);
    });

    it('reads a range, and less where the object ends', async () => {
      const store = await open();
      await store.put(scope, bytes);
      assert.equal(Buffer.from(await store.getRange(scope, digest, 15, 14)).toString(), '{"order_id":2}');
      assert.equal((await store.getRange(scope, digest, bytes.length - 1, 100)).length, 1);
      await assert.rejects(store.getRange(scope, 'f'.repeat(64), 0, 1), { code: 'BatchNotFound' });
    });

    it('never finds an object of another tenant or run', async () => {
      const store = await open();
      await store.put(scope, bytes);
      await assert.rejects(store.get({ ...scope, tenant: 'globex' }, digest), { code: 'BatchNotFound' });
      await assert.rejects(store.get({ ...scope, runId: 'orders-other' }, digest), { code: 'BatchNotFound' });
    });

    it('takes no path for a digest or a run', async () => {
      const store = await open();
      await assert.rejects(store.get(scope, '../../../etc/passwd'), { code: 'BatchNotFound' });
      await assert.rejects(store.get({ ...scope, runId: '../other' }, digest), { code: 'Internal' });
    });

    it('lists all objects in steps of any size, and forgets those that it has listed', async () => {
      const store = await open();
      const put: string[] = [];
      for (const tenant of ['acme', 'globex'])
        for (const runId of [scope.runId, 'orders-0197a3b4-0000-7000-8000-000000000002'])
          for (let n = 0; n < 5; n++)
            put.push(
              `${runId} ${await store.put({ tenant, runId }, Buffer.from(`${tenant} ${runId} ${n}`))}`,
            );
      const open2 = await store.create(scope);
      await open2.write(bytes);
      const since = Date.now() - 60_000;
      for (const max of [1, 3, 20, 100]) {
        const listed: string[] = [];
        let after = '';
        for (;;) {
          const page = await store.list(after, max);
          assert.ok(page.length <= max);
          for (const one of page) {
            assert.ok(one.key > after, 'in order');
            assert.ok(one.sizeBytes > 40 && one.writtenAtMs > since && one.writtenAtMs < Date.now() + 60_000);
            after = one.key;
            listed.push(`${one.runId} ${one.digest}`);
          }
          if (page.length < max) break;
        }
        assert.deepEqual(listed.sort(), put.toSorted());
      }
      await open2.abort();
      const [first, second] = await store.list('', 2);
      await store.removeListed([first!.key, first!.key, '../../etc/passwd', 'x']);
      assert.deepEqual(
        (await store.list('', 1)).map(({ key }) => key),
        [second!.key],
      );
      assert.equal((await store.list('', 100)).length, put.length - 1);
    });

    it('forgets objects, and absent ones without complaint', async () => {
      const store = await open();
      await store.put(scope, bytes);
      await store.remove(scope, [digest, 'f'.repeat(64)]);
      await assert.rejects(store.get(scope, digest), { code: 'BatchNotFound' });
    });
  });
}
