import assert from 'node:assert/strict';
import { before, beforeEach, it } from 'node:test';
import { untilEnded } from '../../../bench/smallRun.ts';
import type { DevStack } from '../../support/devStack.ts';
import { makeKey } from '../../support/keys.ts';
import { until } from '../../support/until.ts';
import { change } from './claims.ts';
import { header, type Material } from './forgeries.ts';
import { codeOf, type Outsider } from './outsider.ts';
import { signText } from './signText.ts';
import { grantOf, type Victim } from './stackMaterial.ts';

/** What an attacker who reaches Temporal can do to a run that is under way, and what the run does then. `other` is a run that has ended. */
export function attackOpenRuns(
  given: () => { stack: DevStack; outsider: Outsider; other: Victim; material: Material },
): void {
  let stack: DevStack;
  let outsider: Outsider;
  let other: Victim;
  let run: Victim & { finish(): Promise<string> };
  let material: Material;

  before(() => {
    ({ stack, outsider, other, material } = given());
  });
  beforeEach(async () => {
    run = await openRun();
  });

  /** A run of alice’s of which ten readings have been worked on, and more are to come. */
  async function openRun(): Promise<typeof run> {
    const call = await stack.as('alice');
    const { readable: body, writable } = new TransformStream<Uint8Array, Uint8Array>(undefined, {
      highWaterMark: 100,
    });
    const more = writable.getWriter();
    const name = crypto.randomUUID();
    const line = (i: number) => Buffer.from(`{"sensor":"${name}-${i}","value":${i}}\n`);
    const answer = call('/v1/pipelines/readings/runs', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-ndjson' },
      duplex: 'half',
    } as RequestInit);
    for (let i = 0; i < 15; i++) void more.write(line(i));
    const open = async () => {
      const { rows } = await outsider.database.query(
        `SELECT r.id FROM waybill.run r JOIN waybill.stage s ON s.run_id = r.id
         WHERE r.arrival = 'open' AND r.ended_at IS NULL AND s.stage = 'transform'`,
      );
      return rows[0]?.id as string | undefined;
    };
    await until('it is open', async () => (await open()) !== undefined);
    const id = (await open())!;
    return {
      id,
      ...(await grantOf(outsider.database, id)),
      async finish() {
        for (let i = 15; i < 25; i++) void more.write(line(i));
        await more.close();
        await answer;
        return untilEnded(call, id);
      },
    };
  }

  /** It ends as if nothing had been, and everything is there once. */
  async function unharmed(): Promise<void> {
    assert.equal(await run.finish(), 'completed');
    const { rows } = await outsider.database.query(
      `SELECT (SELECT count(*)::integer FROM readings WHERE _run = $1) AS rows,
              (SELECT count(*)::integer FROM waybill.ledger WHERE run_id = $1) AS batches`,
      [run.id],
    );
    assert.deepEqual(rows, [{ rows: 25, batches: 3 }]);
  }

  const signed = (claims: object, key = material.key) =>
    signText(header(material.key), JSON.stringify(claims), key);

  it('takes no grant but a successor of its own', async () => {
    const { claims, id } = run;
    const stranger = await makeKey();
    const tries: [string, unknown, string][] = [
      ['nothing', undefined, 'GrantMissing'],
      ['no grant', 'x.y.z', 'GrantMalformed'],
      ['that of another run', other.grant, 'GrantMismatch'],
      ['one of a stranger', await signed(claims, { ...stranger, x: '' }), 'GrantInvalid'],
      ['of another person', await signed({ ...claims, sub: 'prn_bob' }), 'GrantMismatch'],
      ['of another trace', await signed({ ...claims, txn: other.claims.txn }), 'GrantMismatch'],
      ['of a tenant', await signed(change(claims, ['tctx', 'tenant'], 'globex')), 'GrantMismatch'],
      ['for other code', await signed(change(claims, ['tctx', 'definitionDigest'], 'x')), 'GrantMismatch'],
      ['for other data', await signed(change(claims, ['tctx', 'parametersDigest'], 'x')), 'GrantMismatch'],
      ['one of its own that was never named as the successor', await signed(claims), 'GrantMismatch'],
      ['expired', await signed({ ...claims, exp: claims.iat }), 'GrantExpired'],
    ];
    for (const [name, grant, code] of tries) {
      if (name === 'expired')
        await outsider.database.query('UPDATE waybill.run SET successor_id = $2 WHERE id = $1', [
          id,
          claims.jti,
        ]);
      const handle = outsider.clientWith(grant).workflow.getHandle(id);
      assert.equal(await codeOf(handle.executeUpdate('waybill-replace-grant')), code, name);
    }
    const audited = await outsider.audited(id);
    assert.deepEqual(
      audited.map(({ code }) => code),
      tries.map(([, , code]) => code),
    );
    await unharmed();
  });

  it('goes on after a reset, under its own grant; everything is stored once, and the reset is audited', async () => {
    await outsider.reset(outsider.handleOf(run.id));
    await unharmed();
    const resets = await outsider.audited(run.id, 'workflow.reset');
    assert.ok(resets.length >= 1);
    for (const { actor, tenant } of resets) assert.deepEqual([actor, tenant], [null, 'acme']);
  });

  it('wakes to nothing when a signal says so', async () => {
    for (let i = 0; i < 3; i++) await outsider.handleOf(run.id).signal('recheckAuthorization');
    await outsider.handleOf(run.id).signal('unheard of', { evil: true });
    await unharmed();
  });
}
