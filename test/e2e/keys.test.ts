import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, type JWTPayload, jwtVerify } from 'jose';
import pg from 'pg';
import { untilEnded } from '../../bench/smallRun.ts';
import { obtainToken } from '../../cli/embedded/obtainToken.ts';
import { openHome } from '../../dev/stack/home.ts';
import { clusterFolder } from '../../dev/stack/postgresCluster.ts';
import { unprivilegedUser } from '../../dev/stack/unprivileged.ts';
import type { Key, Page, Run } from '../../sdk/client.ts';
import { documents, runWaybill } from '../cli/waybillProcess.ts';
import { type DevStack, startDevStack } from '../support/devStack.ts';
import { until } from '../support/until.ts';

type Call = (path: string, init?: RequestInit & { duplex?: 'half' }) => Promise<Response>;

describe('keys and tokens of the embedded stack', () => {
  let stack: DevStack;
  let database: pg.Client;
  let alice: Call;
  let carol: Call;
  /** Access tokens of people, and step tokens as servers outside have seen them. */
  const accessTokens: string[] = [];
  const stepTokens: string[] = [];
  let guarded: Awaited<ReturnType<typeof serve>>;
  let open: Awaited<ReturnType<typeof serve>>;

  before(async () => {
    guarded = await serve((request, response) => answerGuarded(request, response));
    open = await serve((request, response) => answerOpen(request, response));
    stack = await startDevStack({
      project: fileURLToPath(new URL('../support/project', import.meta.url)),
      env: { WAYBILL_EGRESS_ALLOW: `${guarded.host},${open.host}` },
    });
    database = new pg.Client({ connectionString: stack.info().databaseUrl });
    await database.connect();
    alice = await as('alice');
    carol = await as('carol');
  });
  after(async () => {
    await database?.end();
    await stack?.stop();
    for (const server of [guarded?.server, open?.server]) {
      server?.closeAllConnections();
      server?.close();
    }
  });

  async function as(name: string): Promise<Call> {
    const { issuerUrl, apiUrl } = stack.info();
    const { token } = await obtainToken(issuerUrl, name);
    accessTokens.push(token);
    return (path, init = {}) =>
      fetch(new URL(path, apiUrl), {
        ...init,
        headers: { authorization: `Bearer ${token}`, ...(init.headers as Record<string, string>) },
      });
  }
  const runOf = async (id: string) => (await (await alice(`/v1/runs/${id}`)).json()) as Run;
  async function accepted(response: Promise<Response>): Promise<Run> {
    const answer = await response;
    assert.equal(answer.status, 202, await answer.clone().text());
    return (await answer.json()) as Run;
  }
  async function ended(run: Run): Promise<Run> {
    await untilEnded(alice, run.id);
    return runOf(run.id);
  }
  async function rowsOf<T = Record<string, unknown>>(sql: string, values: unknown[] = []): Promise<T[]> {
    return (await database.query(sql, values)).rows as T[];
  }

  describe('a source that is read as the caller', () => {
    let issuer: string;
    let keys: ReturnType<typeof createRemoteJWKSet>;
    let verified: JWTPayload[] = [];
    let failures = 0;
    let onFailure = () => {};

    before(async () => {
      issuer = `urn:waybill:${(await readFile(join(stack.home, 'instance'), 'utf8')).trim()}`;
      keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', stack.info().apiUrl));
      answerGuarded = async (request, response) => {
        const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
        if (token) stepTokens.push(token);
        if (request.url === '/moved') return response.writeHead(302, { location: '/rows' }).end();
        if (request.url === '/away') return response.writeHead(302, { location: `${open.url}/rows` }).end();
        if (failures-- > 0) {
          onFailure();
          return response.writeHead(503).end();
        }
        try {
          const rules = { issuer, audience: guarded.url, typ: 'txntoken+jwt', algorithms: ['EdDSA'] };
          const { payload } = await jwtVerify(token ?? '', keys, rules);
          verified.push(payload);
          response.end(`${JSON.stringify({ id: request.url, reader: payload.sub })}\n`);
        } catch (error) {
          response.writeHead(401).end(String(error));
        }
      };
      answerOpen = (request, response) => {
        const reader = request.headers.authorization ?? null;
        response.end(`${JSON.stringify({ id: 'away', reader })}\n`);
      };
    });

    const read = (path: string) =>
      accepted(
        alice('/v1/pipelines/guarded/runs', {
          method: 'POST',
          body: JSON.stringify({ source: { url: `${guarded.url}${path}` } }),
          headers: { 'content-type': 'application/json' },
        }),
      );

    it('is sent a token that it can verify and that names the caller', async () => {
      const run = await ended(await read('/rows'));
      assert.equal(run.state, 'completed', JSON.stringify(run.reason));
      const [claims] = verified;
      const { requestedBy, id } = run;
      assert.equal(claims!.sub, requestedBy.id);
      assert.deepEqual(claims!.tctx, { tenant: 'acme', run: id, pipeline: 'guarded' });
      assert.deepEqual(
        [claims!.scope, claims!.req_wl, claims!.exp! - claims!.iat!],
        ['fetch', 'worker', 300],
      );
      assert.deepEqual(claims!.sub_id, { format: 'iss_sub', iss: requestedBy.issuer, sub: 'alice' });
      assert.deepEqual(await rowsOf('SELECT reader FROM guarded WHERE id = $1', ['/rows']), [
        { reader: requestedBy.id },
      ]);
      const events = await rowsOf<{ action: string }>(
        `SELECT action FROM waybill.audit_event WHERE run_id = $1 AND action LIKE 'step-token.%'`,
        [id],
      );
      assert.deepEqual(events, [{ action: 'step-token.issued' }]);
    });

    it('is sent the same token after a redirect, and a new one by each retry', async () => {
      stepTokens.length = 0;
      verified = [];
      failures = 2;
      const run = await ended(await read('/moved'));
      assert.equal(run.state, 'completed', JSON.stringify(run.reason));
      assert.equal(stepTokens.length, 6, 'three attempts of two requests');
      assert.equal(new Set(stepTokens).size, 3);
      assert.equal(verified.length, 1);
    });

    it('leads to another origin without it', async () => {
      const run = await ended(await read('/away'));
      assert.equal(run.state, 'completed', JSON.stringify(run.reason));
      assert.deepEqual(await rowsOf(`SELECT reader FROM guarded WHERE id = 'away'`), [{ reader: null }]);
    });

    it('waits for a token endpoint that is away', async () => {
      verified = [];
      failures = 1;
      // Gone before the next attempt asks for a token; the supervisor starts it again.
      onFailure = () => process.kill(stack.pid('api')!, 'SIGKILL');
      const { id } = await read('/rows');
      for (let state = ''; state !== 'completed'; await pause(100)) {
        [{ state }] = (await rowsOf<{ state: string }>('SELECT state FROM waybill.run WHERE id = $1', [
          id,
        ])) as [{ state: string }];
        assert.notEqual(state, 'failed');
      }
      assert.equal(verified.length, 1);
      const logs = await Promise.all(
        [1, 2].map((n) => readFile(join(stack.home, `logs/worker-${n}.log`), 'utf8')),
      );
      assert.match(logs.join(''), /TokenUnavailable/);
    });

    it('leaves no token in any table, log, file or history', async () => {
      assert.ok(stepTokens.length >= 4 && accessTokens.length >= 2);
      // The signature is the part that no other text has.
      const secrets = [...stepTokens, ...accessTokens].map((token) => token.split('.')[2]!);
      const [grant] = await rowsOf<{ signed: string; id: string }>(
        'SELECT grant_jws AS signed, id FROM waybill.run LIMIT 1',
      );
      const control = grant!.signed.split('.')[2]!;
      const [tables, histories, files] = [await allTables(), await allHistories(), await allFiles()];
      for (const [where, places] of Object.entries({ tables, histories, files })) {
        const holding = (needle: string) => places.filter(({ bytes }) => bytes.includes(needle));
        assert.ok(holding(control).length > 0, `the search of ${where} finds a grant, where grants are`);
        for (const secret of secrets)
          assert.deepEqual(
            holding(secret).map(({ name }) => name),
            [],
            where,
          );
      }
      assert.ok(files.some(({ name }) => name.endsWith('logs/api.log')));
      assert.ok(files.some(({ name }) => name.endsWith('logs/worker-1.log')));
    });

    interface Place {
      name: string;
      bytes: Buffer;
    }

    async function allTables(): Promise<Place[]> {
      const tables = await rowsOf<{ name: string }>(
        `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
      );
      assert.ok(tables.length > 10);
      const places: Place[] = [];
      for (const { name } of tables) {
        const rows = await rowsOf(`SELECT t::text FROM ${name} t`);
        places.push({ name, bytes: Buffer.from(JSON.stringify(rows)) });
      }
      return places;
    }

    async function allHistories(): Promise<Place[]> {
      const connection = await Connection.connect({ address: stack.info().temporalAddress });
      const client = new Client({ connection });
      const places: Place[] = [];
      for await (const { workflowId, runId } of client.workflow.list()) {
        const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
        places.push({ name: workflowId, bytes: bytesIn(history) });
      }
      await connection.close();
      return places;
    }

    /** Of the home, of the database and of Temporal. */
    async function allFiles(): Promise<Place[]> {
      const cluster = await clusterFolder(await openHome(stack.home), unprivilegedUser());
      const places: Place[] = [];
      for (const folder of new Set([stack.home, cluster]))
        for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
          if (!entry.isFile()) continue;
          const name = join(entry.parentPath, entry.name);
          // PostgreSQL may have removed the file in between.
          const bytes = await readFile(name).catch(() => Buffer.alloc(0));
          places.push({ name, bytes });
        }
      return places;
    }
  });

  describe('the keys that sign grants', () => {
    /** A body of which the rest comes when the test says so. */
    function heldBack() {
      const rest = Promise.withResolvers<void>();
      const line = (i: number) => Buffer.from(`{"sensor":"held${i}","value":${i}}\n`);
      const body = ReadableStream.from(
        (async function* () {
          for (let i = 0; i < 15; i++) yield line(i);
          await rest.promise;
          for (let i = 15; i < 40; i++) yield line(i);
        })(),
      );
      return { body, send: () => rest.resolve() };
    }
    const upload = (body: NonNullable<RequestInit['body']>) =>
      alice('/v1/pipelines/readings/runs', {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/x-ndjson' },
        duplex: 'half',
      });
    let serial = 0;
    const small = () => accepted(upload(`{"sensor":"s${serial++ % 50}","value":${serial}}\n`));

    async function keysBy<T>(...args: string[]): Promise<T> {
      const printed = await runWaybill(['keys', ...args, '--as', 'carol', '--json'], {
        WAYBILL_HOME: stack.home,
      });
      assert.equal(printed.code, 0, printed.stderr);
      return documents<T>(printed)[0]!;
    }
    /** Which key signed the grant of each run, and for when it says. */
    async function signaturesOf(ids: readonly string[]): Promise<Map<string, { kid: string; iat: number }>> {
      const rows = await rowsOf<{ id: string; signed: string }>(
        'SELECT id, grant_jws AS signed FROM waybill.run WHERE id = ANY($1)',
        [ids],
      );
      return new Map(
        rows.map(({ id, signed }) => [
          id,
          { kid: decodeProtectedHeader(signed).kid!, iat: decodeJwt(signed).iat! },
        ]),
      );
    }
    /** The id of a run that still receives its upload. */
    async function newestRun(): Promise<string> {
      for (;;) {
        const [row] = await rowsOf<{ id: string }>(
          `SELECT id FROM waybill.run WHERE arrival = 'open' AND ended_at IS NULL ORDER BY created_at DESC LIMIT 1`,
        );
        if (row) return row.id;
        await pause(50);
      }
    }

    it('rotate under load: runs from before, during and after, and none fails', async (t) => {
      const before = await keysBy<Page<Key>>('list');
      assert.deepEqual(
        before.items.map(({ state }) => state),
        ['active'],
      );
      const first = before.items[0]!.kid;
      const held = heldBack();
      const long = upload(held.body);
      const longId = await newestRun();
      const started: Run[] = [];
      let loading = true;
      const load = Promise.all(
        [1, 2].map(async () => {
          while (loading) {
            started.push(await small());
            await pause(400);
          }
        }),
      );
      await until('more than ten runs under the first key', () => started.length > 10);
      const next = await keysBy<Key>('rotate');
      assert.equal(next.state, 'next');
      const signsFromMs = Date.parse(next.signsFrom);
      await pause(signsFromMs - Date.now());
      const [, soFar] = [await small(), started.length];
      await until('some runs under the next key', () => started.length > soFar + 10);
      held.send();
      await accepted(long);
      loading = false;
      await load;
      const runs: Awaited<ReturnType<typeof ended>>[] = [];
      // One after the other: a principal may have so many event streams open at the same time.
      for (const id of [...started.map(({ id }) => id), longId]) runs.push(await ended({ id } as Run));
      assert.deepEqual(
        runs.filter(({ state }) => state !== 'completed'),
        [],
      );
      const signatures = await signaturesOf(runs.map(({ id }) => id));
      assert.equal(signatures.get(longId)!.kid, first);
      const count = (kid: string) => [...signatures.values()].filter((one) => one.kid === kid).length;
      t.diagnostic(
        `${runs.length} runs: ${count(first)} under the old key, ${count(next.kid)} under the new one`,
      );
      assert.equal(count(first) + count(next.kid), runs.length);
      assert.ok(count(first) > 10 && count(next.kid) > 5);
      // A grant is signed before its run is recorded, by however much: so each key is held against the side that is certain.
      for (const { id, createdAt } of runs) {
        const { kid, iat } = signatures.get(id)!;
        if (kid === first) assert.ok(iat * 1000 < signsFromMs, `${id} for ${iat}`);
        else assert.ok(Date.parse(createdAt) >= signsFromMs, `${id} of ${createdAt}`);
      }
      // A workflow task that takes too long on a busy machine is given to another worker, and the second finds the run
      // ended; that has nothing to do with keys.
      assert.deepEqual(
        await rowsOf(
          `SELECT detail FROM waybill.audit_event
           WHERE action = 'attempt.denied' AND detail ->> 'code' <> 'RunEnded'`,
        ),
        [],
      );
      const after = await keysBy<Page<Key>>('list');
      assert.deepEqual(
        after.items.map(({ kid, state }) => [kid, state]),
        [
          [next.kid, 'active'],
          [first, 'retired'],
        ],
      );
    });

    it('sign nothing once they are revoked: another takes over, and what they had signed waits', async () => {
      const [active] = (await keysBy<Page<Key>>('list')).items;
      const held = heldBack();
      const long = upload(held.body);
      const longId = await newestRun();
      const revoked = await carol('/v1/revocations', {
        method: 'POST',
        body: JSON.stringify({ kind: 'key', id: active!.kid, reason: 'it lay around' }),
        headers: { 'content-type': 'application/json' },
      });
      assert.equal(revoked.status, 201, await revoked.clone().text());
      const { id: revocation } = (await revoked.json()) as { id: string };
      // The API that revoked it knows at once or within the seconds of a look; it never refuses for want of a key.
      let replaced = '';
      while (replaced === '' || replaced === active!.kid) {
        const run = await small();
        replaced = (await signaturesOf([run.id])).get(run.id)!.kid;
        if (replaced !== active!.kid) assert.equal((await ended(run)).state, 'completed');
        else await pause(200);
      }
      const states = new Map((await keysBy<Page<Key>>('list')).items.map(({ kid, state }) => [kid, state]));
      assert.equal(states.get(active!.kid), 'revoked');
      assert.equal(states.get(replaced), 'active');
      held.send();
      while ((await runOf(longId)).state !== 'suspended') await pause(100);
      assert.equal((await runOf(longId)).reason?.code, 'GrantRevoked');
      const restored = await carol(`/v1/revocations/${revocation}`, { method: 'DELETE' });
      assert.equal(restored.status, 200);
      assert.equal((await ended(await accepted(long))).state, 'completed');
      const [after] = (await keysBy<Page<Key>>('list')).items;
      assert.equal(after!.kid, replaced, 'it does not sign again');
    });
  });
});

let answerGuarded: (request: IncomingMessage, response: ServerResponse) => unknown;
let answerOpen: typeof answerGuarded;

async function serve(answer: typeof answerGuarded): Promise<{ server: Server; url: string; host: string }> {
  const server = createServer((request, response) => void answer(request, response));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { server, url: `http://${host}`, host };
}

/** Every text and every run of bytes in a value, however deep. */
function bytesIn(value: unknown): Buffer {
  if (value instanceof Uint8Array) return Buffer.from(value);
  if (typeof value === 'string') return Buffer.from(`${value}\n`);
  if (typeof value !== 'object' || value === null) return Buffer.alloc(0);
  return Buffer.concat(Object.values(value).map(bytesIn));
}
