import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, it } from 'node:test';
import { SignJWT } from 'jose';
import { applyDeployments } from '../../adapters/postgres/deployments.ts';
import type { ApiPorts } from '../../api/ports.ts';
import { errors } from '../../domain/errors.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { deploymentOf } from '../../domain/ports/deployments.ts';
import type { KnownSchedule } from '../../domain/ports/temporalSchedules.ts';
import type { FiringExecution } from '../../domain/schedules/firing.ts';
import { temporalScheduleId } from '../../domain/schedules/schedule.ts';
import { type Api, codeOf, json, startApi } from './startApi.ts';

interface Answer {
  outcome: string;
  code?: string;
  run?: { runId: string; grant: string };
}

const secondMs = 1_000;

describe('a worker that asks whether a schedule may fire', () => {
  let api: Api;
  /** What Temporal would say. */
  let execution: FiringExecution | undefined;
  let known: KnownSchedule | undefined;
  let due: boolean;
  /** Other times than the one that is asked about. */
  let times: number[];
  /** Whether Temporal lists the time, and our zone data does not have it. */
  let disputed: boolean;
  let id: string;
  let nominalMs: number;
  /** How the pipeline of the schedule differs since the owner consented. */
  let deployed: (before: LoadedPipeline) => Partial<LoadedPipeline> = () => ({});

  const temporalSchedules: ApiPorts['temporalSchedules'] = {
    times: async (_, { fromMs }) => ({
      timesMs: times.length > 0 ? times : due ? [fromMs] : [],
      complete: true,
      disputedMs: disputed ? [fromMs] : [],
    }),
    describe: async () => known,
    execution: async () => execution,
    deleteAbandoned: async () => 0,
  };

  before(async () => {
    api = await startApi({
      change: ({ definitions }) => ({
        temporalSchedules,
        definitions: {
          ...definitions,
          find: (...asked) => {
            const found = definitions.find(...asked);
            return found && asked[0] === 'urls' ? { ...found, ...deployed(found) } : found;
          },
        },
      }),
    });
  });
  after(() => api.stop());

  /** A schedule of alice’s, and an execution of it that is due in this second, as Temporal would show both. */
  beforeEach(async () => {
    deployed = () => ({});
    due = true;
    disputed = false;
    times = [];
    id = `daily-${randomUUID().slice(0, 8)}`;
    await create({});
    nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
    execute();
  });

  async function create(terms: object, as?: string): Promise<void> {
    const response = await api.call('/v1/schedules', {
      ...json({ id, pipeline: 'urls', terms: { cron: '0 6 * * *', ...terms } }),
      ...(as && { as }),
    });
    assert.equal(response.status, 201, await response.clone().text());
  }

  function execute(change: Partial<FiringExecution> = {}): void {
    const scheduleId = temporalScheduleId({ tenant: 'acme', id });
    const nominalAt = new Date(nominalMs).toISOString();
    execution = {
      workflowId: `fire:${scheduleId}-${nominalAt.slice(0, 19)}Z`,
      runId: randomUUID(),
      workflowType: 'fireSchedule',
      running: true,
      firstRunId: randomUUID(),
      scheduledBy: scheduleId,
      nominalAt,
      startedAtMs: nominalMs,
      ...change,
    };
    const { workflowId, firstRunId } = execution;
    known = {
      asRecorded: true,
      paused: false,
      note: '',
      recent: [{ workflowId, firstRunId, takenAtMs: nominalMs }],
      nextMs: [],
    };
  }

  async function assertion(): Promise<string> {
    return new SignJWT({})
      .setProtectedHeader({ alg: 'EdDSA' })
      .setIssuer('worker')
      .setSubject('worker')
      .setAudience('urn:waybill:test')
      .setJti(randomUUID())
      .setIssuedAt()
      .setExpirationTime('30 s')
      .sign(api.workload.privateKey);
  }

  async function request(schedule = id, proof?: string): Promise<Response> {
    const { workflowId = 'fire:acme:x', runId = randomUUID() } = execution ?? {};
    return fetch(
      `${api.url}/v1/schedules/${schedule}/firings`,
      json({
        workflowId,
        runId,
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: proof ?? (await assertion()),
      }),
    );
  }

  async function fire(schedule = id): Promise<Answer> {
    const response = await request(schedule);
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as Answer;
  }

  const runs = () =>
    api.rows(
      'SELECT * FROM waybill.run WHERE id IN (SELECT run_id FROM waybill.firing WHERE schedule_id = $1)',
      [id],
    );
  const shown = async () =>
    (await (await api.call(`/v1/schedules/${id}`)).json()) as { revision: number; terms: object };
  const state = async () => {
    const response = await api.call(`/v1/schedules/${id}`);
    const { state, reason } = (await response.json()) as { state: string; reason: { code: string } | null };
    return [state, reason?.code ?? null];
  };

  async function isRefused(code = 'FiringRefused'): Promise<void> {
    assert.deepEqual(await fire(), { outcome: 'refused', code });
    assert.deepEqual(await runs(), []);
    const audited = await api.rows(
      `SELECT FROM waybill.audit_event WHERE action = 'schedule.firing-denied' AND detail ->> 'schedule' = $1`,
      [id],
    );
    assert.equal(audited.length, 1);
  }

  it('gets one run, in the name of the owner, however often it asks, and nothing for the outbox', async () => {
    const first = await fire();
    assert.equal(first.outcome, 'fired');
    assert.deepEqual(await fire(), first);
    const [run, ...more] = await runs();
    assert.deepEqual(more, []);
    assert.equal((run!.requested_by as { subject: string }).subject, 'alice');
    assert.equal(
      (run!.requested_by as { actor: { subject: string } }).actor.subject,
      'scheduler',
      'and the scheduler acts for them',
    );
    assert.deepEqual(await api.rows('SELECT FROM waybill.outbox WHERE run_id = $1', [run!.id]), []);
    const { claims } = await api.ports.grantVerifier.verify(first.run!.grant);
    assert.match(claims.tctx.delegation!, /^dlg_/);
    assert.equal(claims.tctx.workflowId, first.run!.runId);
  });

  it('begins a run of other code of the same version once that is applied, and blocks nothing until then', async () => {
    deployed = () => ({ digest: 'o'.repeat(64) });
    const response = await request();
    assert.equal(response.status, 503);
    assert.equal(await codeOf(response), 'DefinitionNotApplied');
    assert.deepEqual(await state(), ['active', null]);
    const loaded = api.ports.definitions.find('urls')!;
    await applyDeployments(api.postgres.migratorUrl, [deploymentOf({ ...loaded, digest: 'o'.repeat(64) })]);
    assert.equal((await fire()).outcome, 'fired');
    const [run] = await runs();
    assert.equal(run!.definition_digest, 'o'.repeat(64));
  });

  for (const [what, change] of [
    ['version', { version: 2 }],
    ['contract', { sink: { table: 'elsewhere' } }],
    ['source', { source: { url: 'https://elsewhere.example/' } }],
    ['labels', { labels: { classification: 'secret' } }],
  ] as const)
    it(`is blocked by another ${what} of the pipeline`, async () => {
      deployed = ({ manifest }) => ({
        digest: 'v'.repeat(64),
        manifest: {
          ...manifest,
          ...change,
          source: { ...manifest.source, ...('source' in change && change.source) },
          sink: { ...manifest.sink, ...('sink' in change && change.sink) },
        },
      });
      assert.equal((await fire()).outcome, 'blocked');
      assert.deepEqual(await state(), ['blocked', 'DefinitionChanged']);
    });

  it('is blocked by other code where the owner bound the code', async () => {
    id = `code-${randomUUID().slice(0, 8)}`;
    await create({ binds: 'code' });
    execute();
    deployed = () => ({ digest: 'o'.repeat(64) });
    assert.equal((await fire()).outcome, 'blocked');
    assert.deepEqual(await state(), ['blocked', 'DefinitionChanged']);
  });

  it('rejects a schedule of a pipeline with an upload source', async () => {
    for (const pipeline of ['few', 'lines']) {
      const response = await api.call('/v1/schedules', json({ pipeline, terms: { cron: '0 6 * * *' } }));
      const { code, issues } = (await response.json()) as { code: string; issues: { path: string }[] };
      assert.deepEqual([response.status, code, issues[0]!.path], [422, 'SourceInvalid', '/pipeline']);
    }
  });

  it('gets one run where many ask at once', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, request.bind(null, id, undefined)));
    const said = await Promise.all(answers.map((one) => one.json() as Promise<Answer>));
    const fired = said.flatMap((one) => (one.outcome === 'fired' ? [one.run!.runId] : []));
    assert.ok(fired.length >= 1);
    assert.equal(new Set(fired).size, 1);
    assert.equal((await runs()).length, 1);
    assert.equal((await fire()).run!.runId, fired[0]);
  });

  it('is told nothing unless it proves which workload it is', async () => {
    assert.equal(await codeOf(await request(id, 'e30.e30.x')), 'WorkloadUnauthenticated');
    const used = await assertion();
    assert.equal((await request(id, used)).status, 200);
    assert.equal(await codeOf(await request(id, used)), 'WorkloadUnauthenticated');
  });

  const forged: Record<string, () => void> = {
    'Temporal does not know': () => {
      execution = undefined;
    },
    'is of another type': () => execute({ workflowType: 'runPipeline' }),
    'has ended': () => execute({ running: false }),
    'no schedule started': () => execute({ scheduledBy: null }),
    'another schedule started': () => execute({ scheduledBy: 'acme:other' }),
    'a schedule of another tenant started': () => execute({ scheduledBy: `globex:${id}` }),
    'is for no time': () => execute({ nominalAt: null }),
    'is for a time that the schedule does not have': () => {
      due = false;
    },
    'is for a time to come': () => execute({ nominalAt: new Date(nominalMs + 60_000).toISOString() }),
    'is for a time before the schedule was there': () =>
      execute({ nominalAt: new Date(nominalMs - 60_000).toISOString() }),
    'the schedule does not list, and would by now': () => {
      execute({ startedAtMs: nominalMs - 120_000 });
      known!.recent = [];
    },
  };
  for (const [what, forge] of Object.entries(forged)) {
    it(`is refused for an execution that ${what}`, async () => {
      forge();
      if (execution?.scheduledBy === `globex:${id}`)
        assert.deepEqual(await fire(), { outcome: 'refused', code: 'ScheduleNotFound' });
      else if (execution) await isRefused();
      else assert.deepEqual(await fire(), { outcome: 'refused', code: 'FiringRefused' });
      assert.deepEqual(await state(), ['active', null], 'and the schedule goes on');
    });
  }

  it('is refused without a word to a tenant of which it only says that it is', async () => {
    const refused = async () => {
      await fire();
      const [event] = await api.rows<{ tenant: string | null }>(
        `SELECT tenant FROM waybill.audit_event WHERE action = 'schedule.firing-denied' ORDER BY id DESC LIMIT 1`,
      );
      return event!.tenant;
    };
    execute({ scheduledBy: `globex:${id}` });
    assert.equal(await refused(), null);
    execute({ scheduledBy: `globex:${id}`, running: false });
    assert.equal(await refused(), null);
    execute({ running: false });
    assert.equal(await refused(), 'acme');
  });

  it('is refused for another execution that says it is of a time that has been fired', async () => {
    await fire();
    execute();
    assert.deepEqual(await fire(), { outcome: 'refused', code: 'FiringRefused' });
    assert.equal((await runs()).length, 1);
  });

  it('is asked to wait while the schedule may yet list what it has started', async () => {
    known!.recent = [];
    assert.equal(await codeOf(await request()), 'FiringUnavailable');
    assert.deepEqual(await runs(), []);
  });

  it('is refused where Temporal has something else than is on record, which is put right', async () => {
    await api.rows('UPDATE waybill.schedule SET applied_revision = revision WHERE id = $1', [id]);
    known!.asRecorded = false;
    await isRefused('ScheduleDrifted');
    const [row] = await api.rows('SELECT applied_revision FROM waybill.schedule WHERE id = $1', [id]);
    assert.equal(row!.applied_revision, '0');
    assert.equal(
      (await api.rows(`SELECT FROM waybill.audit_event WHERE action = 'schedule.drifted'`)).length,
      1,
    );
  });

  it('is refused while the schedule is paused', async () => {
    await api.call(`/v1/schedules/${id}/pause`, { method: 'POST' });
    await isRefused('ScheduleNotActive');
  });

  it('hears that it is too late, once and for all', async () => {
    const past = nominalMs - 3 * 3_600_000;
    await api.rows('UPDATE waybill.schedule SET active_since = $2 WHERE id = $1', [
      id,
      new Date(past - 1_000),
    ]);
    nominalMs = past;
    execute();
    assert.deepEqual(await fire(), { outcome: 'missed', code: 'FiringMissed' });
    assert.deepEqual(await fire(), { outcome: 'missed', code: 'FiringMissed' });
    assert.deepEqual(await runs(), []);
    assert.deepEqual(await state(), ['active', null]);
  });

  it('hears that the run before was still going when this one was due', async () => {
    const first = await fire();
    await api.rows(`UPDATE waybill.run SET state = 'failed', ended_at = now() WHERE id = $1`, [
      first.run!.runId,
    ]);
    const before = nominalMs - 600_000;
    await api.rows('UPDATE waybill.schedule SET active_since = $2 WHERE id = $1', [
      id,
      new Date(before - 600_000),
    ]);
    await api.rows('UPDATE waybill.firing SET nominal_at = $2 WHERE schedule_id = $1', [
      id,
      new Date(before - 300_000),
    ]);
    nominalMs = before;
    execute();
    assert.deepEqual(await fire(), { outcome: 'skipped', code: 'FiringSkipped' });
  });

  it('leaves out times while a run goes on, which the schedule and its history say', async () => {
    const { runId } = (await fire()).run!;
    const nominal = nominalMs - 600_000;
    await api.rows('UPDATE waybill.schedule SET active_since = $2 WHERE id = $1', [id, new Date(nominal)]);
    await api.rows('UPDATE waybill.firing SET nominal_at = $2 WHERE schedule_id = $1', [
      id,
      new Date(nominal),
    ]);
    const reason = { code: 'GrantRevoked', message: 'Withdrawn.' };
    await api.rows(`UPDATE waybill.run SET state = 'suspended', reason = $2 WHERE id = $1`, [runId, reason]);
    times = [nominal, nominal + 200_000, nominal + 400_000, nominal + 3_600_000];
    const [at, first, last] = times.map((ms) => new Date(ms).toISOString());
    const skipped = { times: 2, first, last, more: false };
    const links = { run: `/v1/runs/${runId}` };
    const waitsFor = async () =>
      ((await (await api.call(`/v1/schedules/${id}`)).json()) as { waitsFor: unknown }).waitsFor;
    const history = async () => {
      const response = await api.call(`/v1/schedules/${id}/firings`);
      const { items } = (await response.json()) as { items: Record<string, unknown>[] };
      return items.map(({ run, state, outcome, skipped }) => ({ run, state, outcome, skipped }));
    };
    assert.deepEqual(await waitsFor(), { run: runId, at, state: 'suspended', reason, skipped, links });
    assert.deepEqual(await history(), [{ run: runId, state: 'suspended', outcome: 'fired', skipped }]);

    const ended = new Date(nominal + 300_000);
    await api.rows(`UPDATE waybill.run SET state = 'completed', reason = NULL, ended_at = $2 WHERE id = $1`, [
      runId,
      ended,
    ]);
    assert.equal(await waitsFor(), null);
    const before = { times: 1, first, last: first, more: false };
    assert.deepEqual(await history(), [
      { run: runId, state: 'completed', outcome: 'fired', skipped: before },
    ]);
  });

  it('blocks a schedule at a time that Temporal and Waybill read differently, since their zone data differ', async () => {
    [due, disputed] = [false, true];
    assert.deepEqual(await fire(), { outcome: 'blocked', code: 'ZoneDataDiffers' });
    assert.deepEqual(await state(), ['blocked', 'ZoneDataDiffers']);
    assert.deepEqual(await runs(), []);
  });

  it('is told with the schedule what may surprise about its times', async () => {
    const warningsOf = async () =>
      (
        (await (await api.call(`/v1/schedules/${id}`)).json()) as { warnings: { code: string }[] }
      ).warnings.map(({ code }) => code);
    assert.deepEqual(await warningsOf(), []);
    times = [Date.now() + 100 * 86_400_000];
    assert.deepEqual(await warningsOf(), ['ConsentEndsFirst']);
    id = `odd-${randomUUID().slice(0, 8)}`;
    await create({ cron: '0 6 1 * MON' });
    disputed = true;
    assert.deepEqual(await warningsOf(), ['ConsentEndsFirst', 'BothDaysMatch', 'ZoneDataDiffers']);
    [due, times] = [false, []];
    disputed = false;
    assert.deepEqual(await warningsOf(), ['NeverDue', 'BothDaysMatch']);
  });

  it('starts no second run beside an open one when a user backfills the time in Temporal', async () => {
    for (const [overlap, answer] of [
      ['skip', { outcome: 'skipped', code: 'FiringSkipped' }],
      ['buffer-one', { outcome: 'refused', code: 'FiringRefused' }],
      ['cancel-other', { outcome: 'refused', code: 'FiringRefused' }],
    ] as const) {
      id = `filled-${randomUUID().slice(0, 8)}`;
      await create({ overlap });
      nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
      execute();
      const first = await fire();
      nominalMs += secondMs;
      execute();
      assert.deepEqual(await fire(), answer, overlap);
      assert.equal((await runs()).length, 1);
      await api.rows(`UPDATE waybill.run SET state = 'completed', ended_at = now() WHERE id = $1`, [
        first.run!.runId,
      ]);
      // A time that was skipped is over; one that was kept for later has come.
      assert.equal((await fire()).outcome, overlap === 'skip' ? 'skipped' : 'fired');
    }
  });

  it('is blocked after a failure that should have paused it, even when a user resumes it in Temporal', async () => {
    id = `careful-${randomUUID().slice(0, 8)}`;
    await create({ pauseOnFailure: true });
    nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
    execute();
    const first = await fire();
    await api.rows(`UPDATE waybill.run SET state = 'failed', ended_at = now() WHERE id = $1`, [
      first.run!.runId,
    ]);
    nominalMs += secondMs;
    execute();
    assert.deepEqual(await fire(), { outcome: 'blocked', code: 'PausedOnFailure' });
    assert.deepEqual(await state(), ['blocked', 'PausedOnFailure']);
    assert.equal((await runs()).length, 1);
    // A user has looked at the failure and resumes the schedule.
    assert.equal((await api.call(`/v1/schedules/${id}/resume`, { method: 'POST' })).status, 200);
    nominalMs += secondMs;
    execute();
    assert.equal((await fire()).outcome, 'fired');
  });

  async function isBlocked(code: string): Promise<void> {
    assert.deepEqual(await fire(), { outcome: 'blocked', code });
    assert.deepEqual(await runs(), []);
    assert.deepEqual(await state(), ['blocked', code]);
    const [event] = await api.rows<{ detail: { code: string } }>(
      `SELECT detail FROM waybill.audit_event WHERE action = 'schedule.blocked' AND detail ->> 'schedule' = $1`,
      [id],
    );
    assert.equal(event!.detail.code, code);
    assert.deepEqual(await fire(), { outcome: 'blocked', code }, 'and hears the same again');
  }

  const tampered: Record<string, [code: string, sql: string]> = {
    'terms without a consent': [
      'ConsentRequired',
      `UPDATE waybill.schedule SET terms = jsonb_set(terms, '{parameters}', '{"n": 1}') WHERE id = $1`,
    ],
    'another pipeline': ['ConsentRequired', `UPDATE waybill.schedule SET pipeline = 'files' WHERE id = $1`],
    'another owner': [
      'DelegationInvalid',
      `UPDATE waybill.schedule SET owner = jsonb_set(owner, '{id}', '"prn_other"') WHERE id = $1`,
    ],
    'a consent with changed claims': [
      'DelegationInvalid',
      `UPDATE waybill.delegation SET jws = regexp_replace(jws, '\\.[^.]+\\.', '.eyJhIjoxfQ.') WHERE schedule_id = $1`,
    ],
    'no consent at all': [
      'ConsentRequired',
      `UPDATE waybill.schedule SET delegation_id = NULL WHERE id = $1`,
    ],
  };
  for (const [what, [code, sql]] of Object.entries(tampered)) {
    it(`finds the schedule blocked for ${what}`, async () => {
      await api.rows(sql, [id]);
      await isBlocked(code);
    });
  }

  it('has the receiver told that it is blocked, with what the owner agreed to', async () => {
    id = `told-${randomUUID().slice(0, 8)}`;
    await create({ callback: { url: 'http://127.0.0.1:9/hook' } });
    nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
    execute();
    await api.rows(`UPDATE waybill.schedule SET terms = terms || '{"catchUp": "2h"}' WHERE id = $1`, [id]);
    await isBlocked('ConsentRequired');
    const [told, ...more] = await api.rows<{ data: object; url: string; id: string }>(
      `SELECT id, data, url FROM waybill.delivery WHERE schedule_id = $1`,
      [id],
    );
    assert.deepEqual(more, [], 'once');
    assert.equal(told!.url, 'http://127.0.0.1:9/hook');
    assert.deepEqual(told!.data, {
      schedule: id,
      tenant: 'acme',
      pipeline: 'urls',
      state: 'blocked',
      at: new Date(nominalMs).toISOString(),
      reason: { code: 'ConsentRequired', message: errors.ConsentRequired.message },
      links: { self: `/v1/schedules/${id}`, firings: `/v1/schedules/${id}/firings` },
    });
    const shown = await (await api.call(`/v1/deliveries/${told!.id}`)).json();
    const { run, schedule, links } = shown as { run: null; schedule: string; links: object };
    assert.deepEqual([run, schedule], [null, id]);
    assert.deepEqual(links, {
      self: `/v1/deliveries/${told!.id}`,
      run: null,
      schedule: `/v1/schedules/${id}`,
    });
    const elsewhere = await api.issuer.token({ tenant: 'globex' });
    const unknown = await api.call(`/v1/deliveries/${told!.id}`, { as: elsewhere });
    assert.equal(await codeOf(unknown), 'DeliveryNotFound');
    const { items } = (await (await api.call('/v1/deliveries')).json()) as { items: { id: string }[] };
    assert.ok(items.some((one) => one.id === told!.id));
  });

  it('finds it blocked for the consent of another schedule', async () => {
    const own = id;
    id = `other-${randomUUID().slice(0, 8)}`;
    await create({});
    await api.rows(
      `UPDATE waybill.delegation SET jws = (SELECT jws FROM waybill.delegation WHERE schedule_id = $2) WHERE schedule_id = $1`,
      [own, id],
    );
    id = own;
    await isBlocked('DelegationInvalid');
  });

  it('finds it blocked for a grant in the place of a consent', async () => {
    const { id: runId } = (await (
      await api.call('/v1/pipelines/few/runs', json({ records: [{ id: 'a' }] }))
    ).json()) as { id: string };
    await api.rows(
      `UPDATE waybill.delegation SET jws = (SELECT grant_jws FROM waybill.run WHERE id = $2) WHERE schedule_id = $1`,
      [id, runId],
    );
    await isBlocked('DelegationInvalid');
  });

  it('finds it blocked once the consent has expired', async () => {
    id = `brief-${randomUUID().slice(0, 8)}`;
    const terms = { cron: '0 6 * * *' };
    await api.call('/v1/schedules', json({ id, pipeline: 'urls', terms, lifetime: '1s' }));
    const { delegation } = (await (await api.call(`/v1/schedules/${id}`)).json()) as {
      delegation: { expiresAt: string };
    };
    while (Date.now() < Date.parse(delegation.expiresAt))
      await new Promise((resolve) => setTimeout(resolve, 20));
    nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
    execute();
    await isBlocked('DelegationExpired');
    // Only the owner can renew it, and by that it goes on.
    const bob = await api.issuer.token({ sub: 'bob' });
    const { revision } = await shown();
    const renew = (as?: string) =>
      api.call(`/v1/schedules/${id}/renew`, { ...json({ revision }), ...(as && { as }) });
    assert.equal(await codeOf(await renew(bob)), 'OwnerOnly');
    const agent = await api.issuer.token({ act: { sub: 'copilot' } });
    assert.equal(await codeOf(await renew(agent)), 'OwnerOnly');
    assert.equal((await renew()).status, 200);
    assert.deepEqual(await state(), ['active', null]);
  });

  const setBack = (to: { terms: object; delegation: { id: string } }) =>
    api.rows(
      `UPDATE waybill.schedule SET terms = $2, delegation_id = $3, state = 'active', reason = NULL WHERE id = $1`,
      [id, JSON.stringify(to.terms), to.delegation.id],
    );
  const look = async () =>
    (await (await api.call(`/v1/schedules/${id}`)).json()) as {
      revision: number;
      terms: object;
      delegation: { id: string };
    };

  it('is blocked when a replaced consent is written back', async () => {
    const before = await look();
    const change = { ...json({ terms: { ...before.terms, cron: '0 7 * * *' } }), method: 'PATCH' };
    assert.equal((await api.call(`/v1/schedules/${id}`, change)).status, 200);
    const after = await look();
    await setBack(before);
    await isBlocked('ConsentRequired');
    // Renewed for the same terms it has ended as well; the new one alone counts.
    await setBack(after);
    const { revision } = await look();
    assert.equal((await api.call(`/v1/schedules/${id}/renew`, json({ revision }))).status, 200);
    await setBack(after);
    assert.equal((await api.call(`/v1/schedules/${id}/pause`, { method: 'POST' })).status, 200);
    assert.equal(
      await codeOf(await api.call(`/v1/schedules/${id}/resume`, { method: 'POST' })),
      'ConsentRequired',
    );
  });

  it('is blocked when terms that another user changed, or that the owner ended, are written back', async () => {
    const before = await look();
    const bob = await api.issuer.token({ sub: 'bob' });
    const changeTo = (cron: string, as?: string) =>
      api.call(`/v1/schedules/${id}`, {
        ...json({ terms: { ...before.terms, cron } }),
        method: 'PATCH',
        ...(as && { as }),
      });
    assert.equal((await changeTo('0 7 * * *', bob)).status, 200);
    assert.equal((await look()).delegation, null);
    // Nor when that user changes it back over the API.
    assert.equal((await changeTo('0 6 * * *', bob)).status, 200);
    const resumed = await api.call(`/v1/schedules/${id}/resume`, { method: 'POST', as: bob });
    assert.equal(await codeOf(resumed), 'ConsentRequired');
    await setBack(before);
    await isBlocked('ConsentRequired');

    id = `ended-${randomUUID().slice(0, 8)}`;
    await create({});
    const ended = await look();
    assert.equal((await api.call(`/v1/schedules/${id}`, { method: 'DELETE' })).status, 204);
    await setBack(ended);
    nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
    execute();
    await isBlocked('ConsentRequired');
  });

  it('begins nothing once its owner has paused it, until they themselves have it go on', async () => {
    const bob = await api.issuer.token({ sub: 'bob' });
    const agent = await api.issuer.token({ act: { sub: 'copilot' } });
    const ask = (verb: string, as?: string) =>
      api.call(`/v1/schedules/${id}/${verb}`, { method: 'POST', ...(as && { as }) });
    const pausedBy = async () =>
      ((await look()) as unknown as { pausedBy: { subject: string } | null }).pausedBy?.subject;

    // Who paused what is not theirs has not spoken for its owner.
    await ask('pause', bob);
    assert.equal(await pausedBy(), 'bob');
    assert.equal((await ask('resume', await api.issuer.token({ sub: 'erin' }))).status, 200);
    assert.equal(await pausedBy(), undefined);

    await ask('pause', bob);
    await ask('pause');
    await ask('pause', bob);
    assert.equal(await pausedBy(), 'alice');
    for (const as of [bob, agent]) assert.equal(await codeOf(await ask('resume', as)), 'PausedByOwner');
    assert.equal(
      (
        await api.rows(
          `SELECT FROM waybill.audit_event WHERE action = 'access.denied' AND detail ->> 'code' = 'PausedByOwner'
             AND detail ->> 'schedule' = $1`,
          [id],
        )
      ).length,
      2,
    );
    // A change leaves it paused, and so does the consent to it.
    const { terms } = await look();
    const change = { ...json({ terms: { ...terms, cron: '0 7 * * *' } }), method: 'PATCH', as: bob };
    assert.equal((await api.call(`/v1/schedules/${id}`, change)).status, 200);
    assert.deepEqual(await state(), ['paused', null]);
    assert.equal(await codeOf(await ask('resume', bob)), 'PausedByOwner');
    assert.equal(await codeOf(await ask('resume')), 'ConsentRequired');
    const { revision } = await look();
    assert.equal((await api.call(`/v1/schedules/${id}/renew`, json({ revision }))).status, 200);
    assert.deepEqual(await state(), ['paused', null]);
    assert.equal((await ask('resume')).status, 200);

    // What an agent has paused for its owner the agent may resume, and who takes it over too, as theirs.
    await ask('pause', agent);
    assert.equal(await codeOf(await ask('resume', bob)), 'PausedByOwner');
    assert.equal((await ask('resume', agent)).status, 200);
    await ask('pause');
    const taken = { ...json({ owner: 'me', revision: (await look()).revision }), method: 'PATCH', as: bob };
    assert.equal((await api.call(`/v1/schedules/${id}`, taken)).status, 200);
    assert.equal((await ask('resume', bob)).status, 200);
    assert.deepEqual(await state(), ['active', null]);
  });

  it('finds no consent to terms that another user changed after the owner had looked', async () => {
    const agent = await api.issuer.token({ act: { sub: 'copilot' } });
    const { revision, terms } = await shown();
    const change = { ...json({ terms: { ...terms, cron: '0 7 * * *' } }), method: 'PATCH' };
    assert.equal((await api.call(`/v1/schedules/${id}`, { ...change, as: agent })).status, 200);
    const renew = (body: object) => api.call(`/v1/schedules/${id}/renew`, json(body));
    assert.equal(await codeOf(await renew({ revision })), 'ScheduleChanged');
    assert.equal(await codeOf(await renew({})), 'InvalidRequest');
    assert.deepEqual(await state(), ['blocked', 'ConsentRequired']);
    // Nor to a schedule that another user takes over.
    const bob = await api.issuer.token({ sub: 'bob' });
    const takeOver = (body: object) =>
      api.call(`/v1/schedules/${id}`, { ...json({ owner: 'me', ...body }), method: 'PATCH', as: bob });
    assert.equal(await codeOf(await takeOver({})), 'InvalidRequest');
    assert.equal(await codeOf(await takeOver({ revision })), 'ScheduleChanged');
    assert.equal((await takeOver({ revision: (await shown()).revision })).status, 200);
  });

  it('finds it blocked once the owner, the consent or the scheduler is revoked; a sign-out leaves it', async () => {
    const operator = await api.issuer.token({ sub: 'carol', roles: ['operator'] });
    const dora = { sub: `dora-${randomUUID()}` };
    const as = await api.issuer.token(dora);
    const make = async () => {
      id = `of-dora-${randomUUID().slice(0, 8)}`;
      await create({}, as);
      nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
      execute();
      const shown = await (await api.call(`/v1/schedules/${id}`)).json();
      return shown as { owner: { id: string }; delegation: { id: string } };
    };
    const revoke = async (kind: string, target: string) => {
      const response = await api.call('/v1/revocations', { as: operator, ...json({ kind, id: target }) });
      assert.ok(response.ok, await response.clone().text());
      return ((await response.json()) as { id: string }).id;
    };
    const known = async (principals: string[], delegation?: string) => {
      const credential = { tenant: 'acme', principals, issuedAtS: 0, ...(delegation && { delegation }) };
      while (!api.ports.revocations.find(credential)) await new Promise((resolve) => setTimeout(resolve, 10));
    };

    const signedOut = await make();
    const iat = Math.floor(Date.now() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = { iss: api.issuer.url, aud: 'waybill-cli', sub: dora.sub, iat, jti: randomUUID(), events };
    const body = new URLSearchParams({ logout_token: await api.issuer.sign(claims, { typ: 'logout+jwt' }) });
    assert.equal((await fetch(`${api.url}/v1/backchannel-logout`, { method: 'POST', body })).status, 200);
    await known([signedOut.owner.id]);
    assert.equal((await fire()).outcome, 'fired');

    const { delegation } = await makeAgain();
    await revoke('delegation', delegation.id);
    await known([], delegation.id);
    await isBlocked('DelegationRevoked');

    await makeAgain();
    const all = await revoke('principal', api.ports.scheduler.id);
    await known([api.ports.scheduler.id]);
    await isBlocked('DelegationRevoked');
    await api.call(`/v1/revocations/${all}`, { as: operator, method: 'DELETE' });

    const { owner } = await makeAgain();
    await revoke('principal', owner.id);
    while (!api.ports.revocations.find({ tenant: 'acme', principals: [owner.id], issuedAtS: iat + 1_000 }))
      await new Promise((resolve) => setTimeout(resolve, 10));
    await isBlocked('DelegationRevoked');

    /** With a token from after the sign-out. */
    async function makeAgain() {
      id = `of-dora-${randomUUID().slice(0, 8)}`;
      await create({}, await api.issuer.token({ ...dora, iat: iat + 2 }));
      nominalMs = Math.ceil(Date.now() / secondMs) * secondMs;
      execute();
      const shown = await (await api.call(`/v1/schedules/${id}`)).json();
      return shown as { owner: { id: string }; delegation: { id: string } };
    }
  });

  it('finds it blocked where the policy lets the owner schedule no more', async () => {
    const { policy } = api.ports;
    const decide = policy.decide;
    Object.assign(policy, {
      decide: (question: Parameters<typeof decide>[0]) =>
        question.principal.actor?.subject === 'scheduler'
          ? { allowed: false, policies: [], digest: policy.digest }
          : decide(question),
    });
    try {
      await isBlocked('PolicyDenied');
    } finally {
      Object.assign(policy, { decide });
    }
  });
});
