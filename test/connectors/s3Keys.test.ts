import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseKeys, rotatingKeys } from '../../connectors/s3/s3Keys.ts';
import { readList } from '../../connectors/s3/s3Xml.ts';

describe('keys of an object store', () => {
  const keys = { accessKeyId: 'AKID', secretAccessKey: 'a/b+c=' };

  it('are read from a credentials file: the profile “default”, else the first one', () => {
    const file = '[other]\naws_access_key_id=X\naws_secret_access_key=Y\n';
    const own = '# a comment\r\n[default]\r\naws_access_key_id = AKID\r\naws_secret_access_key = a/b+c=\r\n';
    assert.deepEqual(parseKeys(own), keys);
    assert.deepEqual(parseKeys(file + own), keys);
    assert.deepEqual(parseKeys(file), { accessKeyId: 'X', secretAccessKey: 'Y' });
    assert.deepEqual(parseKeys(`${own}aws_session_token = t==\n`), { ...keys, sessionToken: 't==' });
  });

  it('are read from JSON, as credential processes and secret managers write it', () => {
    const answer = { Version: 1, AccessKeyId: 'AKID', SecretAccessKey: 'a/b+c=', SessionToken: 't' };
    assert.deepEqual(parseKeys(JSON.stringify(answer)), { ...keys, sessionToken: 't' });
    assert.deepEqual(parseKeys(JSON.stringify(keys)), keys);
    assert.deepEqual(parseKeys('{"access_key_id":"AKID","secret_access_key":"a/b+c="}'), keys);
  });

  it('say what is missing, and no value', () => {
    assert.throws(() => parseKeys('[default]\naws_access_key_id = AKID\n'), /no aws_secret_access_key/);
    assert.throws(
      () => parseKeys('{"SecretAccessKey":"s3cret"}'),
      /^Error: The credentials have no aws_access_key_id\.$/,
    );
    assert.throws(
      () => parseKeys('{"SecretAccessKey":"s3cret"'),
      /^Error: The credentials begin like JSON, and are not\.$/,
    );
  });

  it('are read once for requests at the same time, again after a rejection, and stay while a file is half written', async () => {
    let reads = 0;
    let text = JSON.stringify(keys);
    const rotating = rotatingKeys({
      current: async () => {
        reads++;
        return text;
      },
    });
    await Promise.all([rotating.current(), rotating.current()]);
    const old = await rotating.current();
    assert.equal(reads, 1);
    text = '';
    await assert.rejects(rotating.renew(old));
    assert.deepEqual(await rotating.current(), keys);
    text = JSON.stringify({ ...keys, secretAccessKey: 'new' });
    const renewed = await Promise.all([rotating.renew(old), rotating.renew(old)]);
    assert.deepEqual(
      renewed.map(({ secretAccessKey }) => secretAccessKey),
      ['new', 'new'],
    );
    assert.equal((await rotating.renew(old)).secretAccessKey, 'new');
    assert.equal(reads, 3);
  });
});

it('keys of objects are read from a list whatever characters they have', () => {
  const entry = (key: string) =>
    `<Contents><Key>${key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&#34;e&quot;</ETag><Size>3</Size></Contents>`;
  const xml = `<ListBucketResult><EncodingType>url</EncodingType>${entry('a%2Fb%26+%C3%A4')}${entry('b')}<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</NextContinuationToken></ListBucketResult>`;
  const { objects, next } = readList(xml);
  assert.deepEqual(objects[0], {
    key: 'a/b& ä',
    sizeBytes: 3,
    etag: '"e"',
    lastModified: '2026-01-01T00:00:00.000Z',
  });
  assert.deepEqual([objects[1]!.key, next], ['b', 't&1']);
  assert.equal(readList('<L><Contents><Key>a+&lt;b%20</Key></Contents></L>').objects[0]!.key, 'a+<b%20');
});
