import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { uuidv7 } from 'uuidv7';
import type { Revocation } from '../../domain/revocation.ts';
import type { MadeRevocation, Run } from '../../sdk/client.ts';
import { type Api, codeOf, data, json, lines, startApi } from './startApi.ts';

describe('revocations', () => {
  let api: Api;
  let carol: string;
  before(async () => {
    api = await startApi();
    carol = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
  });
  after(() => api.stop());

  /** A principal of this test only, with a run. */
  async function newPrincipal(claims: Record<string, unknown> = {}) {
    const sub = `p-${uuidv7()}`;
    const token = await api.issuer.token({ sub, ...claims });
    const run = await api.call('/v1/pipelines/few/runs', { as: token, ...json({ records: [{ id: sub }] }) });
    assert.equal(run.status, 202);
    const { id: runId, requestedBy } = (await run.json()) as Run;
    return { token, sub, runId, ...requestedBy };
  }

  async function revoke(kind: string, id: string, more: object = {}, as = carol): Promise<Response> {
    return api.call('/v1/revocations', { as, ...json({ kind, id, ...more }) });
  }

  async function revoked(kind: string, id: string, more: object = {}): Promise<Revocation> {
    const response = await revoke(kind, id, more);
    assert.equal(response.status, 201);
    const { notice, ...revocation } = (await response.json()) as Revocation & { notice: string | null };
    return revocation;
  }

  const restore = (id: string, as = carol) => api.call(`/v1/revocations/${id}`, { as, method: 'DELETE' });
  const status = async (as: string) => (await api.call('/v1/runs', { as })).status;

  /** This API hears of its own writes through the database, as every other does. */
  async function until(wanted: number, as: string): Promise<void> {
    for (const by = performance.now() + 10_000; (await status(as)) !== wanted; await pause(5))
      assert.ok(performance.now() < by, `not ${wanted} within 10 s`);
  }

  it('a revoked principal is rejected on every route, and audited, until they are restored', async () => {
    const alice = await newPrincipal();
    const revocation = await revoked('principal', alice.id, { reason: 'left the company' });
    assert.equal(revocation.target, alice.id);
    assert.equal(revocation.reason, 'left the company');
    await until(403, alice.token);
    for (const [path, init] of [
      ['/v1/runs', {}],
      ['/v1/pipelines', {}],
      [`/v1/runs/${alice.runId}`, {}],
      [`/v1/runs/${alice.runId}/events`, {}],
      [`/v1/runs/${alice.runId}/cancel`, { method: 'POST' }],
      ['/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] })],
      ['/v1/revocations', json({ kind: 'principal', id: alice.id })],
    ] as const) {
      const response = await api.call(path, { as: alice.token, ...init });
      const trace = response.headers.get('x-trace-id');
      assert.equal(await codeOf(response), 'PrincipalRevoked', path);
      const [event] = await api.rows('SELECT * FROM waybill.audit_event WHERE txn = $1', [trace]);
      assert.deepEqual([event?.action, event?.outcome], ['access.denied', 'denied'], path);
      assert.equal((event!.detail as { revocation: string }).revocation, revocation.id);
    }
    const lifted = (await (await restore(revocation.id)).json()) as Revocation;
    assert.equal(typeof lifted.liftedAt, 'string');
    await until(200, alice.token);
  });

  it('a principal unknown in the tenant is revoked, with a notice', async () => {
    const [ours, theirs] = [await newPrincipal(), await newPrincipal({ tenant: 'globex' })];
    const noticeFor = async (id: string) =>
      ((await (await revoke('principal', id)).json()) as MadeRevocation).notice;
    assert.equal(await noticeFor(ours.id), null);
    assert.match((await noticeFor(theirs.id))!, /in tenant acme lately/);
    assert.match((await noticeFor(`prn_${'n'.repeat(22)}`))!, /in tenant acme lately/);
    await until(403, ours.token);
    assert.equal(await status(theirs.token), 200);
    const agent = await newPrincipal({ act: { sub: `agent-${uuidv7()}`, kind: 'agent' } });
    assert.equal(await noticeFor(agent.actor!.id), null);
    // A principal with audit events is known too, even without a run.
    const dan = await api.issuer.token({ sub: `dan-${uuidv7()}`, roles: ['operator'] });
    await revoke('principal', `prn_${uuidv7().replaceAll('-', '').slice(0, 22)}`, {}, dan);
    const { id } = (await (await api.call('/v1/whoami', { as: dan })).json()) as { id: string };
    assert.equal(await noticeFor(id), null);
  });

  it('a principal does not revoke themselves by accident', async () => {
    const sub = `carol-${uuidv7()}`;
    const own = await api.issuer.token({ sub, roles: ['operator'] });
    const { id } = (await (await api.call('/v1/whoami', { as: own })).json()) as { id: string };
    assert.equal(await codeOf(await revoke('principal', id, {}, own)), 'SelfRevocation');
    assert.equal(await status(own), 200);
    assert.equal((await revoke('principal', id, { force: true }, own)).status, 201);
    await until(403, own);
  });

  it('name each principal that the tenant knows', async () => {
    const agent = await newPrincipal({ act: { sub: `agent-${uuidv7()}`, kind: 'agent' } });
    const { issuer, sub: subject } = agent;
    const carolIs = { ...(await whoIs(carol)), issuer, subject: 'carol', kind: 'person' };
    const whoOf = async (revocation: object) => (revocation as Revocation & { who: object }).who;
    const target = { id: agent.id, issuer, subject, kind: 'person' };
    const unknownTarget = { target: null, revokedBy: carolIs, liftedBy: null };
    const revocation = await revoked('principal', agent.id);
    assert.deepEqual(await whoOf(revocation), { ...unknownTarget, target });
    // An actor is a principal too.
    const ofActor = await revoked('principal', agent.actor!.id);
    assert.deepEqual(await whoOf(ofActor), { ...unknownTarget, target: agent.actor });
    assert.deepEqual(await whoOf(await revoked('principal', `prn_${'u'.repeat(22)}`)), unknownTarget);
    assert.deepEqual(await whoOf(await revoked('grant', agent.runId)), unknownTarget);
    const page = await api.call(`/v1/revocations?id=${agent.id}`, { as: carol });
    const { items } = (await page.json()) as { items: object[] };
    assert.deepEqual(await Promise.all(items.map(whoOf)), [{ ...unknownTarget, target }]);
    const lifted = (await (await restore(revocation.id)).json()) as object;
    assert.deepEqual(await whoOf(lifted), { target, revokedBy: carolIs, liftedBy: carolIs });
    // Another tenant does not know them.
    const theirs = await api.issuer.token({ sub: 'hugo', tenant: 'globex', roles: ['operator'] });
    const elsewhere = (await (await revoke('principal', agent.id, {}, theirs)).json()) as object;
    assert.equal(((await whoOf(elsewhere)) as { target: unknown }).target, null);
  });

  const whoIs = async (as: string) => {
    const { id } = (await (await api.call('/v1/whoami', { as })).json()) as { id: string };
    return { id };
  };

  it('both are audited with who did it', async () => {
    const { id } = await newPrincipal();
    const revocation = await revoked('principal', id);
    await restore(revocation.id);
    const events = await api.rows<{ action: string; actor: { id: string }; tenant: string }>(
      `SELECT action, actor, tenant FROM waybill.audit_event WHERE detail ->> 'revocation' = $1 ORDER BY id`,
      [revocation.id],
    );
    assert.deepEqual(
      events.map(({ action, tenant, actor }) => [action, tenant, actor.id]),
      ['created', 'lifted'].map((what) => [`revocation.${what}`, 'acme', revocation.revokedBy!.id]),
    );
  });

  it('revoking or restoring twice changes nothing more', async () => {
    const { id } = await newPrincipal();
    const first = await revoked('principal', id);
    const again = await revoke('principal', id, { reason: 'another one' });
    assert.equal(again.status, 200);
    assert.deepEqual(await again.json(), { ...first, notice: null });
    const lifted = await (await restore(first.id)).json();
    assert.deepEqual(await (await restore(first.id)).json(), lifted);
    const second = await revoked('principal', id);
    assert.notEqual(second.id, first.id);
  });

  it('of fifty at once one is recorded', async () => {
    const { id } = await newPrincipal();
    const answers = await Promise.all(Array.from({ length: 50 }, () => revoke('principal', id)));
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    assert.equal(answers.filter(({ status }) => status === 200).length, 49);
  });

  it('an agent is rejected with its person, and by itself', async () => {
    const sub = `p-${uuidv7()}`;
    const act = { sub: `agent-${uuidv7()}`, kind: 'agent' };
    const agent = await newPrincipal({ sub, act });
    const human = await api.issuer.token({ sub });
    const first = await revoked('principal', agent.actor!.id);
    await until(403, agent.token);
    assert.equal(await status(human), 200);
    await restore(first.id);
    await until(200, agent.token);
    await revoked('principal', agent.id);
    await until(403, agent.token);
    assert.equal(await status(human), 403);
  });

  it('after a logout only newer tokens count', async () => {
    const now = Math.floor(Date.now() / 1000);
    const sub = `p-${uuidv7()}`;
    const old = await newPrincipal({ sub, iat: now - 100 });
    const logout = (issuedUntil: string) =>
      api.ports.revocationRecords.revoke(
        'acme',
        { kind: 'principal', target: old.id, issuedUntil, reason: null, revokedBy: null },
        () => ({
          action: 'revocation.created',
          outcome: 'success',
          tenant: 'acme',
          actor: null,
          runId: null,
          txn: null,
          detail: {},
        }),
      );
    const { revocation } = await logout(new Date((now - 50) * 1000).toISOString());
    await until(401, old.token);
    const later = await api.issuer.token({ sub, iat: now - 20 });
    assert.equal(await status(later), 200);

    const extended = await logout(new Date((now - 10) * 1000).toISOString());
    assert.deepEqual([extended.created, extended.revocation.id], [false, revocation.id]);
    await until(401, later);
    const earlier = await logout(new Date((now - 90) * 1000).toISOString());
    assert.equal(earlier.revocation.issuedUntil, extended.revocation.issuedUntil);
    assert.equal(await status(await api.issuer.token({ sub })), 200);
    // Beside it the same person may be revoked altogether.
    assert.equal((await revoke('principal', old.id)).status, 201);
  });

  it('another tenant is neither reached nor shown', async () => {
    const alice = await newPrincipal();
    const dave = await api.issuer.token({ sub: 'dave', tenant: 'globex', roles: ['operator'] });
    const theirs = (await (await revoke('principal', alice.id, {}, dave)).json()) as Revocation;
    assert.equal(theirs.tenant, 'globex');
    await until(403, await api.issuer.token({ sub: alice.sub, tenant: 'globex' }));
    assert.equal(await status(alice.token), 200);
    const ours = await revoked('principal', alice.id);
    assert.equal(await codeOf(await restore(ours.id, dave)), 'RevocationNotFound');
    assert.equal(await codeOf(await restore(theirs.id)), 'RevocationNotFound');
    const { items } = (await (await api.call(`/v1/revocations?id=${alice.id}`, { as: dave })).json()) as {
      items: Revocation[];
    };
    assert.deepEqual(
      items.map(({ id }) => id),
      [theirs.id],
    );
    assert.equal(await codeOf(await revoke('grant', alice.runId, {}, dave)), 'RunNotFound');
  });

  it('lists what stands, newest first, page by page', async () => {
    const runs = await Promise.all(Array.from({ length: 3 }, () => newPrincipal()));
    const made: Revocation[] = [];
    for (const { runId } of runs) made.push(await revoked('grant', runId));
    await restore(made[1]!.id);
    type List = { items: Revocation[]; nextCursor: string | null };
    const list = async (query: string) =>
      (await (await api.call(`/v1/revocations?kind=grant${query}`, { as: carol })).json()) as List;
    const first = await list('&limit=1');
    const second = await list(`&limit=1&cursor=${first.nextCursor}`);
    assert.deepEqual([first.items[0]!.id, second.items[0]!.id], [made[2]!.id, made[0]!.id]);
    assert.deepEqual((await list(`&id=${runs[0]!.runId}`)).items, [made[0]]);
    assert.deepEqual((await list(`&id=${runs[1]!.runId}`)).items, []);
  });

  it('a key is for operators of the tenant that runs this Waybill', async () => {
    const { keys } = (await (await fetch(`${api.url}/.well-known/jwks.json`)).json()) as {
      keys: { kid: string }[];
    };
    const { kid } = keys[0]!;
    const dave = await api.issuer.token({ sub: 'dave', tenant: 'globex', roles: ['operator'] });
    const refused = await revoke('key', kid, {}, dave);
    const { code, denied } = (await refused.json()) as { code: string; denied: object };
    assert.equal(code, 'Forbidden');
    assert.deepEqual(denied, {
      action: 'revoke',
      resource: 'this Waybill',
      ask: 'a principal with the role operator in globex',
    });
    assert.equal(await codeOf(await revoke('key', 'A'.repeat(43))), 'InvalidRequest');
    const revocation = await revoked('key', kid);
    assert.equal(revocation.tenant, null);
    assert.equal((await revoke('key', kid)).status, 200);
    const theirs = await newPrincipal({ tenant: 'globex' });
    await api.rows(
      `UPDATE waybill.run SET state = 'suspended', reason = '{"code":"GrantRevoked"}' WHERE id = $1`,
      [theirs.runId],
    );
    assert.equal(await codeOf(await restore(revocation.id, dave)), 'RevocationNotFound');
    const { items } = (await (await api.call('/v1/revocations?kind=key', { as: dave })).json()) as {
      items: [];
    };
    assert.deepEqual(items, []);
    assert.equal((await restore(revocation.id)).status, 200);
    const rechecked = await api.rows(
      `SELECT tenant FROM waybill.outbox WHERE kind = 'recheckAuthorization' AND run_id = $1`,
      [theirs.runId],
    );
    assert.deepEqual(rechecked, [{ tenant: 'globex' }]);
  });

  it('malformed requests are rejected', async () => {
    for (const body of [
      {},
      { kind: 'tenant', id: 'acme' },
      { kind: 'principal', id: 'alice' },
      { kind: 'principal', id: `prn_${'x'.repeat(22)}`, tenant: 'globex' },
      { kind: 'principal', id: `prn_${'x'.repeat(22)}`, reason: 'a\nb' },
      { kind: 'principal', id: `prn_${'x'.repeat(22)}`, reason: 'x'.repeat(501) },
      { kind: 'key', id: "'; DROP TABLE waybill.revocation; --" },
    ]) {
      const response = await api.call('/v1/revocations', { as: carol, ...json(body) });
      assert.equal(await codeOf(response), 'InvalidRequest', JSON.stringify(body));
    }
    assert.equal(
      await codeOf(await api.call('/v1/revocations', { as: carol, method: 'POST' })),
      'InvalidRequest',
    );
    assert.equal(await codeOf(await revoke('grant', 'few-00000000')), 'RunNotFound');
    for (const id of ['rev_unknown', 'nothing', '..%2fx', '%00'])
      assert.equal(await codeOf(await restore(id)), 'RevocationNotFound', id);
  });

  it('an upload under way is cut, and nothing of it goes on', async () => {
    const alice = await newPrincipal();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, {
      highWaterMark: 100,
    });
    const more = writable.getWriter();
    const answer = api.call('/v1/pipelines/lines/runs', { as: alice.token, ...data(readable) });
    for (let i = 0; i < 3; i++) await more.write(Buffer.from(lines(10, i * 10)));
    const arrived = () =>
      api.rows<{ id: string; arrival: string }>(
        `SELECT id, arrival FROM waybill.run WHERE principal = $1 AND pipeline = 'lines'`,
        [alice.id],
      );
    while ((await arrived()).length === 0) await pause(5);
    await revoked('principal', alice.id);
    assert.equal(await codeOf(await answer), 'PrincipalRevoked');
    assert.equal((await arrived())[0]!.arrival, 'broken');
  });

  it('the events of a run end with the right to see them', async () => {
    const alice = await newPrincipal();
    const events = await api.call(`/v1/runs/${alice.runId}/events`, { as: alice.token });
    const reader = events.body!.getReader();
    await reader.read();
    await revoked('principal', alice.id);
    assert.equal((await reader.read()).done, true);
  });

  it('a restored right makes the suspended runs that wait for it check again, and no others', async () => {
    const [alice, bob, agent] = await Promise.all([
      newPrincipal(),
      newPrincipal(),
      newPrincipal({ act: { sub: `agent-${uuidv7()}`, kind: 'agent' } }),
    ]);
    const suspend = (runId: string, code: string) =>
      api.rows(
        `UPDATE waybill.run SET state = 'suspended', reason = jsonb_build_object('code', $2::text) WHERE id = $1`,
        [runId, code],
      );
    const rechecked = async () =>
      (
        await api.rows<{ run_id: string }>(
          `DELETE FROM waybill.outbox WHERE kind = 'recheckAuthorization' RETURNING run_id`,
        )
      ).map(({ run_id }) => run_id);
    await rechecked();
    const ofAlice = await revoked('principal', alice.id);
    const ofAgent = await revoked('principal', agent.actor!.id);
    const ofRun = await revoked('grant', bob.runId);
    const ofGrant = await revoked('grant', uuidv7());
    for (const { runId } of [alice, bob, agent]) await suspend(runId, 'GrantRevoked');
    for (const [revocation, rechecks] of [
      [ofAlice, [alice.runId]],
      [ofAgent, [agent.runId]],
      [ofRun, [bob.runId]],
      [ofGrant, [alice.runId, bob.runId, agent.runId]],
      [ofGrant, []],
    ] as const) {
      await restore(revocation.id);
      assert.deepEqual((await rechecked()).sort(), [...rechecks].sort());
    }
    const again = await revoked('principal', alice.id);
    await suspend(alice.runId, 'GrantExpired');
    await restore(again.id);
    assert.deepEqual(await rechecked(), []);
  });

  it('no operator can see or restore a sign-out, in any tenant: a newer token counts', async () => {
    const sub = `p-${uuidv7()}`;
    const nowS = Math.floor(Date.now() / 1000);
    const theirs = await newPrincipal({ sub, tenant: 'initech', iat: nowS - 60 });
    await api.ports.logoutRecords.record(
      { issuer: api.issuer.url, principal: theirs.id, issuedAtS: nowS - 30, tokenId: uuidv7() },
      '0'.repeat(32),
    );
    await until(401, theirs.token);
    const [signedOut] = await api.rows<{ id: string }>(
      'SELECT id FROM waybill.revocation WHERE target = $1',
      [theirs.id],
    );
    const operatorOf = (tenant: string) =>
      api.issuer.token({ sub: `o-${tenant}`, tenant, roles: ['operator'] });
    for (const as of [carol, await operatorOf('acme'), await operatorOf('initech')]) {
      assert.equal(await codeOf(await restore(signedOut!.id, as)), 'RevocationNotFound');
      const shown = await api.call(`/v1/revocations?id=${theirs.id}`, { as });
      assert.deepEqual(((await shown.json()) as { items: [] }).items, []);
    }
    assert.equal(await status(theirs.token), 401);
    assert.equal(await status(await api.issuer.token({ sub, tenant: 'initech' })), 200);
  });
});

describe('while revocations are unavailable', () => {
  it('the API rejects every caller, and accepts them again afterwards', async () => {
    const api = await startApi({ answerWithinMs: 1_000 });
    try {
      const call = () => api.call('/v1/pipelines');
      assert.equal((await call()).status, 200);
      await api.revocations.refresh();
      const refreshedAt = performance.now();
      await api.cable.cut();
      const cutAt = performance.now();
      // The list of pipelines needs no database, so only knowledge that is too old refuses it.
      let lastAllowedAt = 0;
      let response: Response;
      for (;;) {
        const askedAt = performance.now();
        response = await call();
        if (response.status !== 200) break;
        lastAllowedAt = askedAt;
        await pause(100);
      }
      assert.equal(await codeOf(response), 'RevocationsUnavailable');
      assert.ok(performance.now() - refreshedAt > 7_000, 'a short outage is no outage');
      assert.ok(lastAllowedAt - cutAt < 10_000, `allowed ${lastAllowedAt - cutAt} ms after the cut`);
      const as = await api.issuer.token({ sub: `p-${uuidv7()}` });
      const identified = await api.ports.authenticator.authenticate(as);
      assert.ok(identified.outcome === 'placed');
      await api.rows(
        `INSERT INTO waybill.revocation (id, kind, target, tenant) VALUES ('rev_1', 'principal', $1, 'acme')`,
        [identified.principal.id],
      );
      await api.cable.mend();
      while ((await call()).status !== 200) await pause(50);
      assert.equal(await codeOf(await api.call('/v1/pipelines', { as })), 'PrincipalRevoked');
    } finally {
      await api.stop();
    }
  });
});
