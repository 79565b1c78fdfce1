import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createIssuerKeys } from '../../../adapters/oidc/issuerKeys.ts';
import { readIssuers } from '../../../adapters/oidc/trustedIssuers.ts';
import { createAuthenticator, withKeys } from '../../../adapters/oidc/verifyAccessToken.ts';
import type { Identified } from '../../../domain/ports/authenticator.ts';
import { startIssuer } from '../../api/issuer.ts';

type Issuer = Awaited<ReturnType<typeof startIssuer>>;

let folder: string;
let people: Issuer;
let builds: Issuer;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'waybill-issuers-'));
  [people, builds] = await Promise.all([startIssuer(), startIssuer()]);
});
after(async () => {
  await Promise.all([people.stop(), builds.stop(), rm(folder, { recursive: true })]);
});

async function read(...issuers: object[]) {
  const file = join(folder, `${crypto.randomUUID()}.json`);
  await writeFile(file, JSON.stringify({ issuers }));
  return readIssuers(file);
}

async function authenticatorOf(...issuers: object[]) {
  return createAuthenticator(withKeys(await read(...issuers)));
}

function missing(identified: Identified): string {
  return identified.outcome === 'placed' ? 'nothing' : identified.missing;
}

function placed(identified: Identified) {
  assert.equal(identified.outcome, 'placed', missing(identified));
  return (identified as Extract<Identified, { outcome: 'placed' }>).principal;
}

const code = (expected: string) => ({ code: expected });
const nowS = () => Math.floor(Date.now() / 1000);

describe('several issuers', () => {
  const both = () =>
    authenticatorOf(
      { issuer: people.url, tenants: ['acme', 'globex'] },
      { issuer: builds.url, tenants: ['initech'] },
    );

  it('each is believed by its own keys', async () => {
    const { authenticate } = await both();
    const alice = placed(await authenticate(await people.token()));
    const other = placed(await authenticate(await builds.token({ tenant: 'initech' })));
    assert.deepEqual([alice.subject, other.subject], ['alice', 'alice']);
    assert.notEqual(alice.id, other.id);
  });

  it('none speaks for a tenant of another', async () => {
    const { authenticate } = await both();
    assert.equal(missing(await authenticate(await builds.token({ tenant: 'acme' }))), 'tenant');
    assert.equal(missing(await authenticate(await people.token({ tenant: 'initech' }))), 'tenant');
    for (const tenant of ['ACME', 'acme ', 'acm', 'acmee', 'acme/', '', null, ['acme'], { acme: 1 }])
      assert.equal(missing(await authenticate(await people.token({ tenant }))), 'tenant', String(tenant));
  });

  it('none signs in the name of another', async () => {
    const { authenticate } = await both();
    const forged = await builds.token({ iss: people.url, tenant: 'acme' });
    await assert.rejects(authenticate(forged), code('Unauthenticated'));
  });

  it('an issuer that is not configured is rejected, and is asked nothing', async () => {
    const stranger = await startIssuer();
    try {
      const { authenticate } = await both();
      for (const claims of [{}, { iss: [people.url] }, { iss: undefined }, { iss: `${people.url}/` }])
        await assert.rejects(authenticate(await stranger.token(claims)), code('Unauthenticated'));
      assert.deepEqual(stranger.asked, { discovery: 0, keys: 0 });
    } finally {
      await stranger.stop();
    }
  });

  it('the flood of one costs another nothing', async () => {
    const { authenticate } = await both();
    const before = people.asked.keys;
    builds.setAway(true);
    const refused = authenticate(await builds.token({ tenant: 'initech' }));
    await assert.rejects(refused, code('IdentityProviderUnavailable'));
    builds.setAway(false);
    placed(await authenticate(await people.token()));
    assert.equal(people.asked.keys, before + 1);
  });
});

describe('a workload issuer', () => {
  const caller = (repository: string, tenant: string, more: object = {}) => ({
    match: [
      { claim: 'repository', equals: repository },
      { claim: 'ref', equals: 'refs/heads/main' },
    ],
    tenant: { value: tenant },
    roles: { value: ['data-engineer'] },
    kind: { value: 'service' },
    ...more,
  });
  const trusted = (more: object = {}) =>
    authenticatorOf({
      issuer: builds.url,
      tokenTypes: ['JWT', 'absent'],
      tenants: ['acme', 'globex'],
      callers: [caller('acme/orders', 'acme'), caller('globex/feeds', 'globex')],
      ...more,
    });
  /** As a build platform gives them: without tenant, roles or kind. */
  const token = (claims: object = {}, header: Record<string, unknown> = { typ: 'JWT' }) =>
    builds.sign(
      {
        iss: builds.url,
        sub: 'repo:acme/orders:ref:refs/heads/main',
        aud: 'waybill',
        iat: nowS(),
        exp: nowS() + 300,
        repository: 'acme/orders',
        ref: 'refs/heads/main',
        ...claims,
      },
      header,
    );

  it('says nothing of tenants and roles; the configuration does', async () => {
    const { authenticate } = await trusted();
    const { tenant, roles, kind } = placed(await authenticate(await token()));
    assert.deepEqual({ tenant, roles, kind }, { tenant: 'acme', roles: ['data-engineer'], kind: 'service' });
    const other = await authenticate(await token({ repository: 'globex/feeds' }));
    assert.equal(placed(other).tenant, 'globex');
    assert.equal(placed(await authenticate(await token({}, {}))).tenant, 'acme');
  });

  it('what the token claims of itself beside changes nothing', async () => {
    const { authenticate } = await trusted();
    const claims = { tenant: 'globex', roles: ['operator'], kind: 'person' };
    const { tenant, roles, kind } = placed(await authenticate(await token(claims)));
    assert.deepEqual({ tenant, roles, kind }, { tenant: 'acme', roles: ['data-engineer'], kind: 'service' });
  });

  for (const [what, claims] of Object.entries({
    'another repository': { repository: 'mallory/orders' },
    'one that begins alike': { repository: 'acme/orders-2' },
    'one that ends alike': { repository: 'evil-acme/orders' },
    'other letters': { repository: 'Acme/orders' },
    'a list of it': { repository: ['acme/orders'] },
    'an object': { repository: { toString: 'acme/orders' } },
    'none at all': { repository: undefined },
    'another branch': { ref: 'refs/heads/main2' },
    'a look-alike letter': { repository: 'аcme/orders' },
  })) {
    it(`${what} does not match`, async () => {
      const { authenticate } = await trusted();
      assert.equal(missing(await authenticate(await token(claims))), 'match');
    });
  }

  it('a number does not match its text', async () => {
    const { authenticate } = await trusted({
      callers: [caller('x', 'acme', { match: [{ claim: 'id', equals: 7 }] })],
    });
    assert.equal(missing(await authenticate(await token({ id: '7' }))), 'match');
    placed(await authenticate(await token({ id: 7 })));
  });

  it('a nested claim is found by its path, and nothing that it inherits is', async () => {
    const match = (...claim: string[]) => ({ match: [{ claim, equals: 'jobs' }] });
    const claims = { 'kubernetes.io': { namespace: 'jobs' }, list: ['jobs'] };
    for (const [path, expected] of [
      [['kubernetes.io', 'namespace'], 'nothing'],
      [['kubernetes.io.namespace'], 'match'],
      [['list', '0'], 'match'],
      [['constructor', 'name'], 'match'],
    ] as const) {
      const { authenticate } = await trusted({ callers: [caller('x', 'acme', match(...path))] });
      assert.equal(missing(await authenticate(await token(claims))), expected, path.join());
    }
  });

  it('other types of tokens do not count', async () => {
    const { authenticate } = await trusted();
    for (const typ of ['at+jwt', 'logout+jwt', 'grant+jwt', 'JOSE'])
      await assert.rejects(authenticate(await token({}, { typ })), code('Unauthenticated'), typ);
  });

  it('algorithms that it does not use do not count', async () => {
    const { authenticate } = await trusted({ algorithms: ['ES256'] });
    await assert.rejects(authenticate(await token()), code('Unauthenticated'));
    placed(await authenticate(await token({}, { typ: 'JWT', alg: 'ES256', kid: 'ec' })));
  });
});

describe('the claims of people', () => {
  const trusted = (caller: object = {}, more: object = {}) =>
    authenticatorOf({ issuer: people.url, tenants: ['acme'], callers: [caller], ...more });

  it('roles follow from groups, and a group that is not listed means nothing', async () => {
    const map = { engineers: 'data-engineer', 'Data Stewards': 'data-steward' };
    const { authenticate } = await trusted({ roles: { claim: 'groups', map } });
    const groups = ['engineers', 'Data Stewards', 'operator', 'constructor', 7, 'engineers'];
    const { roles } = placed(await authenticate(await people.token({ groups })));
    assert.deepEqual(roles, ['data-engineer', 'data-steward']);
    for (const none of [['operator'], [], 'strangers', undefined, { engineers: true }])
      assert.equal(missing(await authenticate(await people.token({ groups: none }))), 'roles');
  });

  describe('a list of roles', () => {
    const directory = Array.from({ length: 500 }, (_, i) => `group-${i}`);
    for (const [what, roles] of Object.entries({
      'a name with a blank': ['data-engineer', 'All Employees'],
      'a name with an umlaut': ['Prüfer', 'data-engineer'],
      'hundreds of groups': [...directory, 'data-engineer'],
    }))
      it(`with ${what} is accepted as it is`, async () => {
        const { authenticate } = await trusted();
        assert.deepEqual(placed(await authenticate(await people.token({ roles }))).roles, roles);
      });

    it('loses the names that no project can declare', async () => {
      const { authenticate } = await trusted();
      const roles = ['', 'x'.repeat(101), 'a\0b', '\ud800', 'data-engineer', 'data-engineer'];
      assert.deepEqual(placed(await authenticate(await people.token({ roles }))).roles, ['data-engineer']);
    });

    it('is refused where it is no list of strings', async () => {
      const { authenticate } = await trusted();
      for (const roles of [undefined, null, 'data-engineer', {}, ['data-engineer', 7], [['data-engineer']]])
        assert.equal(missing(await authenticate(await people.token({ roles }))), 'roles');
    });

    it('is refused above 65,536 characters', async () => {
      const { authenticate } = await trusted();
      const roles = Array.from({ length: 656 }, (_, i) => `${i}`.padEnd(100, 'x'));
      assert.equal(missing(await authenticate(await people.token({ roles }))), 'roles');
      placed(await authenticate(await people.token({ roles: roles.slice(1) })));
    });
  });

  it('accounts belong to one human where the issuer says so, and a token without that claim is rejected', async () => {
    const { authenticate } = await trusted({ person: { claim: ['employee', 'number'] } });
    const personOf = async (claims: Record<string, unknown>) =>
      placed(await authenticate(await people.token(claims))).person;
    const employee = { number: 'E-17' };
    const first = await personOf({ sub: 'alice', employee });
    assert.match(first!, /^per_[\w-]{22}$/);
    assert.equal(await personOf({ sub: 'alice-admin', employee }), first);
    assert.notEqual(await personOf({ sub: 'bob', employee: { number: 'e-17' } }), first);
    for (const none of [undefined, {}, { number: '' }, { number: 17 }, { number: ['E-17'] }])
      assert.equal(missing(await authenticate(await people.token({ employee: none }))), 'person');
    const { authenticate: silent } = await trusted();
    assert.equal(placed(await silent(await people.token({ employee }))).person, undefined);
  });

  it('one text is not a list of roles', async () => {
    const { authenticate } = await trusted({
      roles: { claim: 'groups', map: { engineers: 'data-engineer' } },
    });
    assert.equal(missing(await authenticate(await people.token({ groups: 'engineers' }))), 'roles');
  });

  it('a tenant may be called otherwise there', async () => {
    const { authenticate } = await trusted({ tenant: { claim: ['org', 'id'], map: { o1: 'acme' } } });
    assert.equal(placed(await authenticate(await people.token({ org: { id: 'o1' } }))).tenant, 'acme');
    assert.equal(missing(await authenticate(await people.token({ org: { id: 'acme' } }))), 'tenant');
  });

  for (const sub of ['аlice', 'alice\u200b', 'alice\0', ' alice', 'alice\n', 'é'.repeat(10), 'a'.repeat(256)])
    it(`the subject ${JSON.stringify(sub.slice(0, 20))} is rejected`, async () => {
      const { authenticate } = await trusted();
      await assert.rejects(authenticate(await people.token({ sub })), code('Unauthenticated'));
    });

  it('subjects that are alike are not the same', async () => {
    const { authenticate } = await trusted();
    const ids = await Promise.all(
      ['alice', 'Alice', 'alice2', 'alice@acme', 'ali'].map(
        async (sub) => placed(await authenticate(await people.token({ sub }))).id,
      ),
    );
    assert.equal(new Set(ids).size, ids.length);
  });

  it('a subject that is a list or a number is rejected', async () => {
    const { authenticate } = await trusted();
    for (const sub of [['alice'], 7, {}, null, ''])
      await assert.rejects(authenticate(await people.token({ sub })), code('Unauthenticated'));
  });

  it('one that was issued in the future could escape a revocation, so it is refused', async () => {
    const { authenticate } = await trusted();
    placed(await authenticate(await people.token({ iat: nowS() + 2 })));
    await assert.rejects(authenticate(await people.token({ iat: nowS() + 60 })), code('Unauthenticated'));
  });
});

describe('a principal who acts for another', () => {
  const trusted = (caller: object = {}, more: object = {}) =>
    authenticatorOf({ issuer: people.url, tenants: ['acme'], callers: [caller], ...more });
  const fixed = { act: { value: { sub: 'copilot', kind: 'agent' } } };

  it('is of the same issuer, unless another may be named', async () => {
    const act = { sub: 'copilot', iss: builds.url };
    const strict = await trusted();
    assert.equal(missing(await strict.authenticate(await people.token({ act }))), 'act');
    const open = await trusted({}, { actorIssuers: [builds.url] });
    assert.equal(placed(await open.authenticate(await people.token({ act }))).actor?.issuer, builds.url);
  });

  it('may be fixed by the configuration, for an issuer of agents', async () => {
    const { authenticate } = await trusted(fixed);
    assert.equal(placed(await authenticate(await people.token())).actor?.subject, 'copilot');
  });

  it('is not forgotten where the configuration looks elsewhere', async () => {
    const { authenticate } = await trusted({ act: { claim: 'ext_act' } });
    const { actor } = placed(await authenticate(await people.token({ act: { sub: 'copilot' } })));
    assert.deepEqual([actor?.subject, actor?.kind], ['copilot', 'agent']);
  });

  it('is never ignored because it cannot be understood', async () => {
    const { authenticate } = await trusted();
    for (const act of [
      'copilot',
      null,
      [],
      {},
      { sub: 7 },
      { sub: 'copilot', kind: 'admin' },
      { sub: 'аlice' },
    ])
      assert.equal(missing(await authenticate(await people.token({ act }))), 'act', JSON.stringify(act));
  });
});

describe('a file of issuers', () => {
  const good = { issuer: 'https://login.example', tenants: ['acme'] };
  const wrong: Record<string, [object[], RegExp]> = {
    'none at all': [[], /issuers/],
    'an unknown key': [[{ ...good, tenant: 'acme' }], /tenant/],
    'no tenants': [[{ issuer: good.issuer }], /tenants/],
    'any tenant beside another issuer': [
      [
        { ...good, tenants: 'any' },
        { ...good, issuer: 'https://b.example' },
      ],
      /for which tenants/,
    ],
    'the same issuer twice': [[good, good], /appears once/],
    'an algorithm with a shared secret': [[{ ...good, algorithms: ['HS256'] }], /algorithms/],
    'fixed roles for every caller': [[{ ...good, callers: [{ roles: { value: ['operator'] } }] }], /match/],
    'a caller entry that no token reaches': [[{ ...good, callers: [{}, {}] }], /last/],
    'a client with id tokens that would pass': [
      [{ ...good, tokenTypes: ['JWT'], clients: ['waybill'] }],
      /id token/,
    ],
    'an issuer that is no URL': [[{ ...good, issuer: 'login.example' }], /issuer/],
  };
  for (const [what, [issuers, says]] of Object.entries(wrong))
    it(`${what} is refused`, () =>
      assert.rejects(read(...issuers), { name: 'SettingsError', message: says }));

  it('that is missing or no JSON is refused', async () => {
    await assert.rejects(readIssuers(join(folder, 'nowhere')), { name: 'SettingsError' });
    await writeFile(join(folder, 'x'), '{');
    await assert.rejects(readIssuers(join(folder, 'x')), { name: 'SettingsError' });
  });
});

describe('docs/identity-providers.md', () => {
  it('shows a file that is one', async () => {
    const page = await readFile(new URL('../../../docs/identity-providers.md', import.meta.url), 'utf8');
    const [, shown] = /```json\n([\s\S]*?)```/.exec(page)!;
    const file = join(folder, 'shown.json');
    await writeFile(file, shown!);
    const [provider, actions] = await readIssuers(file);
    assert.deepEqual(provider!.callers[0]!.roles, { claim: 'roles' });
    assert.deepEqual(actions!.tenants, ['acme']);
  });
});

describe('keys that are rotated', () => {
  function findKeys(issuerUrl: string, clock: () => number) {
    const keys = createIssuerKeys(issuerUrl, clock);
    return (kid: string) => keys({ alg: 'RS256', kid }, { payload: '', signature: '' });
  }

  it('are learnt with the first token that needs them, at most once in 30 s; the old ones are gone then', async () => {
    const issuer = await startIssuer();
    try {
      let ms = 0;
      const find = findKeys(issuer.url, () => ms);
      await find('rsa');
      await issuer.rotate('second');
      ms += 31_000;
      await find('second');
      await assert.rejects(async () => find('rsa'), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
      assert.equal(issuer.asked.keys, 2);
      await issuer.rotate('third');
      ms += 29_000;
      await assert.rejects(async () => find('third'), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
      ms += 2_000;
      await Promise.all([find('third'), find('third'), find('third')]);
      assert.equal(issuer.asked.keys, 3);
    } finally {
      await issuer.stop();
    }
  });

  it('are asked for again after ten minutes, and serve on while the issuer is away', async () => {
    const issuer = await startIssuer();
    try {
      let ms = 0;
      const find = findKeys(issuer.url, () => ms);
      await find('rsa');
      ms += 601_000;
      issuer.setAway(true);
      await find('rsa');
      issuer.setAway(false);
      await issuer.rotate('second');
      ms += 31_000;
      await assert.rejects(async () => find('rsa'), { code: 'ERR_JWKS_NO_MATCHING_KEY' });
      await find('second');
    } finally {
      await issuer.stop();
    }
  });
});
