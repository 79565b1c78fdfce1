import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { importJWK } from 'jose';
import type pg from 'pg';
import { openKeyRoots } from '../../../adapters/keys/keyRoots.ts';
import { obtainToken } from '../../../cli/embedded/obtainToken.ts';
import type { GrantClaims } from '../../../domain/grants/grant.ts';
import type { DevStack } from '../../support/devStack.ts';
import { makeKey } from '../../support/keys.ts';
import { until } from '../../support/until.ts';
import type { Material } from './forgeries.ts';
import type { Outsider } from './outsider.ts';
import type { Signer } from './signText.ts';

/** A run that has come to its end, and its grant. */
export interface Victim {
  id: string;
  grant: string;
  claims: GrantClaims;
}

/** Sends readings as this person, and waits until the run has cleaned up after itself. */
export async function runOf(stack: DevStack, outsider: Outsider, name: string): Promise<Victim> {
  const call = await stack.as(name);
  const lines = Array.from({ length: 25 }, (_, i) => `{"sensor":"${name}-${i}","value":${i}}`);
  const response = await call('/v1/pipelines/readings/runs', {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: lines.join('\n'),
  });
  const { id } = (await response.json()) as { id: string };
  await until(
    'Temporal has it',
    async () =>
      (await outsider
        .handleOf(id)
        .describe()
        .catch(() => undefined)) !== undefined,
  );
  await outsider.handleOf(id).result();
  return { id, ...(await grantOf(outsider.database, id)) };
}

export async function grantOf(database: pg.Pool, id: string): Promise<Omit<Victim, 'id'>> {
  const { rows } = await database.query('SELECT grant_jws FROM waybill.run WHERE id = $1', [id]);
  const grant: string = rows[0].grant_jws;
  return { grant, claims: JSON.parse(Buffer.from(grant.split('.')[1]!, 'base64url').toString()) };
}

/** A key that was in use until an hour ago, of which an attacker has kept the private part; for as long a root. */
export async function retireKey(
  database: pg.Pool,
  { home }: Pick<DevStack, 'home'>,
): Promise<Material['retired']> {
  const { kid, jwk, privateKey } = await makeKey();
  const retiredAtS = Math.floor(Date.now() / 1000) - 3_600;
  await openKeyRoots(join(home, 'keys', 'grants.roots')).add({ keys: [kid] });
  await database.query(
    `INSERT INTO waybill.grant_key (kid, x, created_at, signs_from, retired_at)
     VALUES ($1, $2, to_timestamp($3::bigint - 86400), to_timestamp($3::bigint - 86400), to_timestamp($3))`,
    [kid, jwk.x, retiredAtS],
  );
  return { kid, x: jwk.x!, privateKey, retiredAtS };
}

export async function materialOf(
  stack: DevStack,
  victim: Victim,
  retired: Material['retired'],
  others: Record<string, Victim>,
): Promise<Material> {
  const stranger = await makeKey();
  const { token } = await obtainToken(stack.info().issuerUrl, 'alice');
  return {
    genuine: victim.grant,
    claims: victim.claims,
    key: await signingKeyOf(stack, victim.grant),
    retired,
    stranger: { ...stranger, x: stranger.jwk.x! },
    others: Object.fromEntries(Object.entries(others).map(([owner, { grant }]) => [owner, grant])),
    accessToken: token,
  };
}

/** The private part lies where only the API of the stack reads it; an owner of this machine has it too. */
async function signingKeyOf({ home }: DevStack, grant: string): Promise<Signer> {
  const { kid } = JSON.parse(Buffer.from(grant.split('.')[0]!, 'base64url').toString());
  const folder = join(home, 'keys', 'grants');
  const file = (await readdir(folder)).find((name) => name.startsWith(kid))!;
  const jwk = JSON.parse(await readFile(join(folder, file), 'utf8'));
  return { kid, x: jwk.x, privateKey: (await importJWK(jwk, 'EdDSA')) as Signer['privateKey'] };
}
