import { UnsecuredJWT } from 'jose';
import type { ErrorCode } from '../../../domain/errors.ts';
import type { GrantClaims } from '../../../domain/grants/grant.ts';
import { boundTo, type Claims, change, leavesOf } from './claims.ts';
import { type Signer, signedText, signText } from './signText.ts';

/** What a forger may have in hand, as well as what none can have: the key itself, to try each binding by itself. */
export interface Material {
  /** A genuine grant of alice’s, and what it says. */
  genuine: string;
  claims: GrantClaims;
  /** The key that signs, one that has retired, and one that this Waybill never had. */
  key: Signer;
  retired: Signer & { retiredAtS: number };
  stranger: Signer;
  /** Genuine grants of other principals, by their owner. */
  others: Record<string, string>;
  /** Tokens of other kinds that are genuine too. */
  accessToken: string;
}

export interface Forgery {
  name: string;
  /** With which it is refused. */
  code: ErrorCode;
  /** The grant, made to fit a workflow of this id in all but what is forged. */
  forge(workflowId: string): string | Promise<string>;
}

/** Every way in which a grant can be forged without touching the record of a run; each is refused wherever it shows up. */
export function forgeries(material: Material): Forgery[] {
  return [
    ...altered(material),
    ...unfit(material),
    ...cut(material),
    ...otherProtection(material),
    ...otherKinds(material),
    ...otherKeys(material),
    ...otherBindings(material),
    ...Object.entries(material.others).map(([owner, grant]) => ({
      name: `the grant of ${owner}`,
      code: 'GrantMismatch' as const,
      forge: () => grant,
    })),
  ];
}

/** Each claim altered, under the old signature, under a foreign one, and under one of another grant of the same key. */
function altered({ genuine, claims, key, stranger }: Material): Forgery[] {
  const [head, , signature] = genuine.split('.');
  const payload = (id: string, path: string[]) => {
    const fitting = boundTo(claims, id);
    const value = leavesOf(fitting).find(([one]) => one.join() === path.join())![1];
    return JSON.stringify(change(fitting, path, alteredValue(value)));
  };
  return leavesOf(claims).flatMap(([path]) => [
    {
      name: `${path.join('.')} altered under the signature there was`,
      code: 'GrantInvalid',
      forge: (id) => `${head}.${base64url(payload(id, path))}.${signature}`,
    },
    {
      name: `${path.join('.')} altered and signed by a stranger in the name of the key`,
      code: 'GrantInvalid',
      forge: (id) => signText(header(key), payload(id, path), stranger),
    },
  ]);
}

/** Each claim missing, null, of another type, or there twice, under a genuine signature. */
function unfit({ claims, key }: Material): Forgery[] {
  const signed = (name: string, code: ErrorCode, textOf: (fitting: Claims) => string): Forgery => ({
    name,
    code,
    forge: (id) => signText(header(key), textOf(boundTo(claims, id)), key),
  });
  const cases = leavesOf(claims).flatMap(([path, value]) => {
    const name = path.join('.');
    // The run of the grant is checked before anything else that it says.
    const code = name === 'iss' || name === 'aud' ? 'GrantIssuerMismatch' : 'GrantMalformed';
    return [
      signed(`${name} missing`, code, (fitting) => JSON.stringify(change(fitting, path, undefined))),
      signed(`${name} null`, code, (fitting) => JSON.stringify(change(fitting, path, null))),
      signed(`${name} of another type`, code, (fitting) =>
        JSON.stringify(change(fitting, path, typeof value === 'number' ? String(value) : 7)),
      ),
      ...(typeof value === 'string'
        ? [
            signed(`${name} with a zero byte`, code, (fitting) =>
              JSON.stringify(change(fitting, path, `${value}\0`)),
            ),
          ]
        : []),
      signed(`${name} twice`, 'GrantMalformed', (fitting) => twice(fitting, path)),
    ];
  });
  const extra = (at: string[]) =>
    signed(`a claim too many: ${at.join('.')}`, 'GrantMalformed', (fitting) =>
      JSON.stringify(change(fitting, at, true)),
    );
  return [
    ...cases,
    ...[
      ['nbf'],
      ['admin'],
      ['tctx', 'admin'],
      ['req', 'tenant'],
      ['tctx', 'children'],
      ['tctx', 'message'],
    ].map(extra),
    signed('a step that does not exist', 'GrantMalformed', (fitting) =>
      JSON.stringify(change(fitting, ['tctx', 'steps'], ['everything'])),
    ),
    signed('an actor without a name', 'GrantMalformed', (fitting) =>
      JSON.stringify({ ...fitting, act: { iss: 'x', sub: 'x', kind: 'agent' } }),
    ),
    signed('a prototype', 'GrantMalformed', (fitting) =>
      JSON.stringify(fitting).replace('{', '{"__proto__":{"sub":"prn_bob"},'),
    ),
  ];
}

function cut({ genuine }: Material): Forgery[] {
  const [head, payload, signature] = genuine.split('.') as [string, string, string];
  const lengths = Array.from({ length: 24 }, (_, i) => Math.floor(((i + 1) * genuine.length) / 25));
  const wholly: [string, string][] = [
    ['one character short', genuine.slice(0, -1)],
    ['half a signature', genuine.slice(0, -43)],
    ['no signature', `${head}.${payload}.`],
    ['no payload', `${head}..${signature}`],
    ['no header', `.${payload}.${signature}`],
    ['a part too many', `${genuine}.x`],
    ['padding', `${genuine}=`],
    ['a line feed after it', `${genuine}\n`],
    ['a space before it', ` ${genuine}`],
    ['JSON instead', JSON.stringify({ protected: head, payload, signature })],
    ['another alphabet', `${head}.${payload}.${signature.slice(0, -1)}/`],
    ['some megabytes', `${head}.${'A'.repeat(100_000)}.${signature}`],
  ];
  return [
    ...lengths.map((length) => [`the first ${length} characters`, genuine.slice(0, length)] as const),
    ...wholly,
  ].map(([name, text]) => ({ name, code: 'GrantMalformed', forge: () => text }));
}

function otherProtection({ claims, key, stranger }: Material): Forgery[] {
  const refused = (name: string, forge: Forgery['forge']): Forgery => ({
    name,
    code: 'GrantAlgorithmUnsupported',
    forge,
  });
  const algorithms = [
    'none',
    'None',
    'eddsa',
    'Ed25519',
    'ES256',
    'RS256',
    'PS256',
    'HS256',
    '',
    null,
    ['EdDSA'],
    'EdDSA\0',
    '\udfff',
  ];
  const extensions: Record<string, unknown>[] = [
    { crit: ['exp'] },
    { crit: ['b64'], b64: false },
    { crit: [] },
    { b64: false },
    { jwk: { kty: 'OKP', crv: 'Ed25519', x: stranger.x } },
    { jku: 'http://127.0.0.1:1/keys' },
    { x5u: 'http://127.0.0.1:1/certificate' },
    { x5c: ['AA=='] },
    { zip: 'DEF' },
    { cty: 'JWT' },
    { enc: 'A256GCM' },
    { '\0': 1 },
  ];
  const text = (id: string) => JSON.stringify(boundTo(claims, id));
  return [
    ...algorithms.map((alg) =>
      refused(`alg ${JSON.stringify(alg)}`, (id) => signText(header(key, { alg }), text(id), key)),
    ),
    ...extensions.map((more) =>
      refused(`header ${JSON.stringify(more).slice(0, 30)}`, (id) =>
        signText(header(key, more), text(id), key),
      ),
    ),
    refused('no signature and no algorithm', (id) => new UnsecuredJWT(boundTo(claims, id)).encode()),
    refused('the public key as a secret', (id) => signedText(header(key, { alg: 'HS256' }), text(id), key.x)),
  ];
}

function otherKinds({ claims, key, accessToken }: Material): Forgery[] {
  const text = (id: string) => JSON.stringify(boundTo(claims, id));
  const types = [
    'JWT',
    'at+jwt',
    'txntoken+jwt',
    'decision+jwt',
    'logout+jwt',
    'GRANT+JWT',
    'application/grant+jwt',
  ];
  return [
    ...[...types, '', null, undefined].map(
      (typ): Forgery => ({
        name: `typ ${JSON.stringify(typ)}`,
        code: 'GrantTypeMismatch',
        forge: (id) => signText(header(key, { typ }), text(id), key),
      }),
    ),
    { name: 'her access token', code: 'GrantAlgorithmUnsupported', forge: () => accessToken },
  ];
}

function otherKeys({ claims, key, retired, stranger }: Material): Forgery[] {
  const text = (id: string, more: object = {}) => JSON.stringify({ ...boundTo(claims, id), ...more });
  const named =
    (kid: unknown): Forgery['forge'] =>
    (id) =>
      signText(header(key, { kid }), text(id), stranger);
  const unknown = [
    stranger.kid,
    '',
    '../../etc/passwd',
    "' OR 1=1 --",
    'http://127.0.0.1:1/key',
    key.kid.slice(1),
    `${key.kid}\0`,
    '\ud800',
  ];
  return [
    ...unknown.map(
      (kid): Forgery => ({ name: `kid ${JSON.stringify(kid)}`, code: 'GrantKeyNotFound', forge: named(kid) }),
    ),
    ...[7, null, undefined, [key.kid]].map(
      (kid): Forgery => ({ name: `kid ${JSON.stringify(kid)}`, code: 'GrantMalformed', forge: named(kid) }),
    ),
    ...[0, 1, 3_600].map(
      (afterS): Forgery => ({
        name: `signed ${afterS} s after its key had retired`,
        code: 'GrantKeyRetired',
        forge: (id) => signText(header(retired), text(id, { iat: retired.retiredAtS + afterS }), retired),
      }),
    ),
    {
      name: 'a key that has retired, named for what another signed before',
      code: 'GrantInvalid',
      forge: (id) => signText(header(retired), text(id, { iat: retired.retiredAtS - 60 }), stranger),
    },
    ...[claims.iss.toUpperCase(), `${claims.iss} `, `${claims.iss}/`, 'urn:waybill:other', ''].map(
      (iss): Forgery => ({
        name: `iss ${JSON.stringify(iss)}`,
        code: 'GrantIssuerMismatch',
        forge: (id) => signText(header(key), text(id, { iss }), key),
      }),
    ),
    ...['Waybill', 'waybill ', ['waybill'], ['waybill', 'other'], 'other'].map(
      (aud): Forgery => ({
        name: `aud ${JSON.stringify(aud)}`,
        code: 'GrantIssuerMismatch',
        forge: (id) => signText(header(key), text(id, { aud }), key),
      }),
    ),
  ];
}

/** Each binding crossed by itself, with names that look like the right one. */
function otherBindings({ claims, key }: Material): Forgery[] {
  const crossed = (
    claim: string,
    code: ErrorCode,
    forgedFrom: (right: unknown) => unknown,
    how: string,
  ): Forgery => ({
    name: `${claim} ${how}`,
    code,
    forge(id) {
      const fitting = boundTo(claims, id);
      const right = fitting.tctx[claim as keyof GrantClaims['tctx']];
      return signText(header(key), JSON.stringify(change(fitting, ['tctx', claim], forgedFrom(right))), key);
    },
  });
  return [
    ...['namespace', 'workflowId', 'workflowType'].flatMap((claim) =>
      Object.entries(lookAlikes).map(([how, likeness]) =>
        crossed(claim, 'GrantMismatch', (right) => likeness(String(right)), how),
      ),
    ),
    crossed('workflowType', 'GrantMismatch', () => 'fireSchedule', 'of another workflow'),
    crossed('namespace', 'GrantMismatch', () => 'temporal-system', 'of another namespace'),
    crossed('steps', 'StepNotGranted', () => [], 'none'),
    crossed('steps', 'StepNotGranted', () => ['store', 'validate', 'transform'], 'without the one at hand'),
  ];
}

/** Names that a person, a normalisation or a careless comparison takes for the right one. */
export const lookAlikes: Record<string, (name: string) => string> = {
  'in upper case': (name) => name.toUpperCase(),
  'with a capital': (name) => name[0]!.toUpperCase() + name.slice(1),
  'with a space after it': (name) => `${name} `,
  'with a space before it': (name) => ` ${name}`,
  'with a line feed': (name) => `${name}\n`,
  'with a zero-width space': (name) => `${name}\u200b`,
  'with a soft hyphen': (name) => `${name[0]}\u00ad${name.slice(1)}`,
  'with a right-to-left mark': (name) => `\u200f${name}`,
  'in Cyrillic': (name) => name.replace(/[aeopcy]/, (letter) => cyrillic[letter]!),
  'full width': (name) => String.fromCharCode(name.charCodeAt(0) + 0xfee0) + name.slice(1),
  'with a combining mark': (name) => `${name}\u0301`,
  'cut by one': (name) => name.slice(0, -1),
  'with one more': (name) => `${name}1`,
  'as a path': (name) => `${name}/`,
  'as a pattern': (name) => `${name.slice(0, 3)}%`,
};

const cyrillic: Record<string, string> = { a: 'а', e: 'е', o: 'о', p: 'р', c: 'с', y: 'у' };

export function header({ kid }: Pick<Signer, 'kid'>, more: object = {}): string {
  return JSON.stringify({ alg: 'EdDSA', typ: 'grant+jwt', kid, ...more });
}

function alteredValue(value: unknown): unknown {
  if (typeof value === 'number') return value + 1;
  if (Array.isArray(value)) return [...value].reverse().slice(1);
  return `${value}x`;
}

/** The claim with another value before the one that was there, which a careless reader takes. */
function twice(claims: Claims, path: readonly string[]): string {
  const name = JSON.stringify(path.at(-1)!);
  const text = JSON.stringify(claims);
  const at =
    path.length === 1 ? text.indexOf(`${name}:`) : text.indexOf(`${name}:`, text.indexOf(`"${path[0]}":`));
  return `${text.slice(0, at)}${name}:"other",${text.slice(at)}`;
}

function base64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}
