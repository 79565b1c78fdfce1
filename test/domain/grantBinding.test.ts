import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Beginning,
  digestOfArguments,
  findMessageFault,
  findStartFault,
} from '../../domain/grants/grantBinding.ts';

const args = [{ b: 1, a: ['ü', null] }, 7];
const argumentsDigest = digestOfArguments(args)!;

/** As much of a grant as the sandbox reads; its signature is for activities. */
function grantWith(tctx: object, jti = 'g1'): string {
  const claims = { jti, tctx: { tenant: 'acme', namespace: 'default', workflowId: 'w', ...tctx } };
  return `head.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.signature`;
}

const at: Beginning = { namespace: 'default', workflowId: 'w', continued: false, args };
const message = { name: 'approve', args };

describe('what carries a grant', () => {
  it('is its own start, with the arguments that were signed', () => {
    assert.equal(findStartFault(grantWith({}), at), undefined);
    assert.equal(findStartFault(grantWith({ argumentsDigest }), at), undefined);
    assert.equal(findStartFault(grantWith({ argumentsDigest }), { ...at, args: [7] }), 'arguments');
    assert.equal(findStartFault(grantWith({ argumentsDigest: '' }), at), 'arguments');
    assert.equal(findStartFault(grantWith({ argumentsDigest: null }), at), 'arguments');
  });

  it('is a continuation, whatever its arguments are', () => {
    const continued = { ...at, continued: true, args: [] };
    assert.equal(findStartFault(grantWith({ argumentsDigest }), continued), undefined);
  });

  it('is a child of the workflow, or one of theirs', () => {
    const child = { ...at, workflowId: 'w/1' };
    assert.equal(findStartFault(grantWith({}), child), 'parent');
    for (const [workflowId, fault] of [
      ['w', undefined],
      ['w/0', undefined],
      ['w2', 'parent'],
      ['', 'parent'],
    ] as const)
      assert.equal(
        findStartFault(grantWith({}), { ...child, parent: { namespace: 'default', workflowId } }),
        fault,
      );
    const elsewhere = { ...child, parent: { namespace: 'other', workflowId: 'w' } };
    assert.equal(findStartFault(grantWith({}), elsewhere), 'parent');
  });

  it('is no start where the grant is for a message alone', () => {
    const tctx = { message: { name: 'approve', argumentsDigest } };
    assert.equal(findStartFault(grantWith(tctx), at), 'start');
    assert.equal(findStartFault(grantWith({ ...tctx, argumentsDigest }), at), undefined);
  });

  it('is the message that was signed, of the tenant, once', () => {
    const tctx = { message: { name: 'approve', argumentsDigest } };
    const heard = new Set<unknown>();
    const own = grantWith({});
    assert.equal(findMessageFault(own, message, own, heard), 'message');
    assert.equal(findMessageFault(grantWith(tctx), { ...message, name: 'Approve' }, own, heard), 'message');
    assert.equal(findMessageFault(grantWith(tctx), { ...message, args: [] }, own, heard), 'message');
    assert.equal(
      findMessageFault(grantWith({ message: { name: 'approve' } }), message, own, heard),
      'message',
    );
    assert.equal(findMessageFault(grantWith({ ...tctx, tenant: 'globex' }), message, own, heard), 'tenant');
    assert.equal(findMessageFault(grantWith(tctx), message, own, heard), undefined);
    assert.equal(findMessageFault(grantWith(tctx), message, own, heard), 'repeated');
    assert.equal(findMessageFault(grantWith(tctx, 'g2'), message, undefined, heard), undefined);
  });

  it('is left to the activity where the grant cannot be read', () => {
    for (const text of ['', '.', 'a.b.c', 'a.e30.c', 'a.bnVsbA.c', 'a.eyJ0Y3R4IjpudWxsfQ.c', 'x.ü.y']) {
      assert.equal(findStartFault(text, at), undefined, text);
      assert.equal(findMessageFault(text, message, undefined, new Set()), undefined, text);
    }
  });
});

describe('the digest of arguments', () => {
  const expected = (text: string) => createHash('sha256').update(text).digest('hex');

  it('is of canonical JSON, as both sides have it', () => {
    assert.equal(argumentsDigest, expected('[{"a":["ü",null],"b":1},7]'));
    assert.equal(digestOfArguments([new Date(0)]), digestOfArguments(['1970-01-01T00:00:00.000Z']));
    assert.equal(digestOfArguments([{ a: undefined }]), digestOfArguments([{}]));
    assert.equal(digestOfArguments([1n]), undefined);
  });

  it('is the same after a way through JSON', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (values) => {
        assert.equal(digestOfArguments(JSON.parse(JSON.stringify(values))), digestOfArguments(values));
      }),
    );
  });
});
