import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decodeJwt } from 'jose';
import { uuidv7 } from 'uuidv7';
import type { GrantClaims } from '../../domain/grants/grant.ts';
import type { Run } from '../../sdk/client.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

describe('resuming a suspended run', () => {
  let api: Api;
  before(async () => {
    api = await startApi();
  });
  after(() => api.stop());

  /** A suspended run of a caller of its own. */
  async function suspended(claims: Record<string, unknown> = {}, code = 'GrantExpired') {
    const sub = `p-${uuidv7()}`;
    const as = await api.issuer.token({ sub, ...claims });
    const response = await api.call('/v1/pipelines/few/runs', { as, ...json({ records: [{ id: sub }] }) });
    const { id } = (await response.json()) as Run;
    await api.rows(
      `UPDATE waybill.run SET state = 'suspended', reason = jsonb_build_object('code', $2::text, 'message', '') WHERE id = $1`,
      [id, code],
    );
    return { id, sub };
  }

  const resume = async (id: string, claims: Record<string, unknown>) =>
    api.call(`/v1/runs/${id}/resume`, { as: await api.issuer.token(claims), method: 'POST' });

  async function recorded(id: string) {
    const [run] = await api.rows<{ grant_jws: string; successor_id: string | null }>(
      'SELECT grant_jws, successor_id FROM waybill.run WHERE id = $1',
      [id],
    );
    const outbox = await api.rows<{ kind: string }>(
      `DELETE FROM waybill.outbox WHERE run_id = $1 AND kind <> 'start' RETURNING kind`,
      [id],
    );
    const [audit] = await api.rows<{ actor: { id: string }; detail: Record<string, unknown> }>(
      `SELECT actor, detail FROM waybill.audit_event WHERE run_id = $1 AND action = 'run.resume-requested'
       ORDER BY id DESC LIMIT 1`,
      [id],
    );
    return {
      claims: decodeJwt(run!.grant_jws) as unknown as GrantClaims,
      successorId: run!.successor_id,
      outbox: outbox.map(({ kind }) => kind),
      audit,
    };
  }

  it('its requester gives it a new grant that differs only in time and roles', async () => {
    const { id, sub } = await suspended({ iat: Math.floor(Date.now() / 1000) - 3 });
    const before = (await recorded(id)).claims;
    const response = await resume(id, { sub, roles: ['data-engineer', 'data-steward'] });
    assert.equal(response.status, 202);
    assert.equal(((await response.json()) as Run).state, 'suspended');
    const { claims, successorId, outbox, audit } = await recorded(id);
    assert.deepEqual(outbox, ['replaceGrant']);
    assert.notEqual(claims.jti, before.jti);
    assert.equal(successorId, claims.jti);
    assert.ok(claims.iat >= before.iat);
    assert.equal(claims.exp - claims.iat, before.exp - before.iat);
    const { jti, iat, exp, req, tctx, ...rest } = claims;
    assert.deepEqual(
      { ...req, iat: before.req.iat },
      { ...before.req, roles: ['data-engineer', 'data-steward'] },
    );
    assert.ok(req.iat >= before.req.iat, 'the token that asked for it counts');
    assert.deepEqual({ ...before, ...rest, req: before.req, tctx }, before);
    assert.equal(audit!.actor.id, claims.sub);
    assert.deepEqual([audit!.detail.grant, audit!.detail.supersedes], [jti, before.jti]);
  });

  it('another authorized caller only makes it check its right again', async () => {
    const { id } = await suspended();
    const before = (await recorded(id)).claims;
    const carol = { sub: 'carol', roles: ['operator'] };
    assert.equal((await resume(id, carol)).status, 202);
    const { claims, successorId, outbox, audit } = await recorded(id);
    assert.deepEqual([claims.jti, successorId, outbox], [before.jti, null, ['recheckAuthorization']]);
    assert.equal(audit!.detail.grant, undefined);
    assert.notEqual(audit!.actor.id, claims.sub);
  });

  it('an agent and its person are not the same requester', async () => {
    const act = { sub: 'copilot', kind: 'agent' };
    const ofAgent = await suspended({ act });
    await resume(ofAgent.id, { sub: ofAgent.sub });
    assert.deepEqual((await recorded(ofAgent.id)).outbox, ['recheckAuthorization']);
    await resume(ofAgent.id, { sub: ofAgent.sub, act: { sub: 'other', kind: 'agent' } });
    assert.deepEqual((await recorded(ofAgent.id)).outbox, ['recheckAuthorization']);
    await resume(ofAgent.id, { sub: ofAgent.sub, act });
    assert.deepEqual((await recorded(ofAgent.id)).outbox, ['replaceGrant']);
    const ofPerson = await suspended();
    await resume(ofPerson.id, { sub: ofPerson.sub, act });
    assert.deepEqual((await recorded(ofPerson.id)).outbox, ['recheckAuthorization']);
  });

  it('is refused to those who may not, and of runs that are not suspended', async () => {
    const { id, sub } = await suspended();
    assert.equal(await codeOf(await resume(id, { sub: 'erin', roles: ['data-steward'] })), 'Forbidden');
    assert.equal(await codeOf(await resume(id, { sub, tenant: 'globex' })), 'RunNotFound');
    for (const state of ['accepted', 'running', 'completed']) {
      await api.rows('UPDATE waybill.run SET state = $2 WHERE id = $1', [id, state]);
      assert.equal(await codeOf(await resume(id, { sub })), 'RunNotSuspended', state);
    }
    assert.deepEqual((await recorded(id)).outbox, []);
  });

  it('signs nothing on the word of the database', async () => {
    const mine = await suspended();
    const other = await suspended();
    const copy = 'SELECT grant_jws FROM waybill.run WHERE id = $2';
    await api.rows(`UPDATE waybill.run SET grant_jws = (${copy}) WHERE id = $1`, [mine.id, other.id]);
    assert.equal(await codeOf(await resume(mine.id, { sub: mine.sub })), 'GrantMismatch');
    await api.rows(
      `UPDATE waybill.run SET grant_jws = regexp_replace(grant_jws, '[.]([^.]+)[.]', '.e30.') WHERE id = $1`,
      [mine.id],
    );
    assert.notEqual((await resume(mine.id, { sub: mine.sub })).status, 202);
    await api.rows('UPDATE waybill.run SET definition_digest = $2 WHERE id = $1', [other.id, 'another']);
    assert.equal(await codeOf(await resume(other.id, { sub: other.sub })), 'GrantMismatch');
    assert.deepEqual((await recorded(other.id)).outbox, []);
  });
});

describe('a logout that this process has not heard of', () => {
  it('lets no run begin that would be younger than it', async () => {
    // As if the notification and the poll were both still to come.
    const api = await startApi({ change: () => ({ revocations: { find: () => undefined } }) });
    try {
      const few = (as: string, key: string) =>
        api.call('/v1/pipelines/few/runs', {
          as,
          ...json({ records: [{ id: 'a' }] }, { 'idempotency-key': key }),
        });
      const old = await api.issuer.token({ iat: Math.floor(Date.now() / 1000) - 60 });
      const identified = await api.ports.authenticator.authenticate(old);
      assert.ok(identified.outcome === 'placed');
      await api.rows(
        `INSERT INTO waybill.revocation (id, kind, target, issued_until) VALUES ('rev_1', 'principal', $1, now() - interval '30 s')`,
        [identified.principal.id],
      );
      assert.equal(await codeOf(await few(old, 'k')), 'PrincipalRevoked');
      assert.equal((await api.rows('SELECT FROM waybill.run')).length, 0);
      // Neither was its key taken.
      assert.equal((await few(await api.issuer.token(), 'k')).status, 202);
      assert.equal((await few(await api.issuer.token(), 'k')).status, 202);
      assert.equal((await api.rows('SELECT FROM waybill.run')).length, 1);
    } finally {
      await api.stop();
    }
  });
});
