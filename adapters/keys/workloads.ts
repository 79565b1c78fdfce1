import { readFile, stat } from 'node:fs/promises';
import { createLocalJWKSet, decodeJwt, errors, type JSONWebKeySet, jwtVerify } from 'jose';
import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import type { Workloads } from '../../domain/ports/workloads.ts';

/** An assertion is good for this long at most, and each for one request. */
const lifetimeMaxS = 60;
const clockToleranceS = 5;

type Keys = ReturnType<typeof createLocalJWKSet>;

export interface WorkloadsOptions {
  /** A JSON file: the id of each workload with its public keys, `{ "worker": { "keys": [ … ] } }`. Without one there are none. */
  file: string | undefined;
  /** `aud` of the assertions: the name of this Waybill, `urn:waybill:<instance>`. */
  audience: string;
  /** Marks the assertion as used. `false` where it was used before. */
  spend(assertion: { workload: string; jti: string; expiresAtS: number }): Promise<boolean>;
}

/**
 * Workloads by their public keys in a file, which is read again when it has changed, so that keys may be exchanged while
 * everything runs. Throws at the start where the file cannot be used; later, an unusable file authenticates no workload.
 */
export async function openWorkloads(options: WorkloadsOptions): Promise<Workloads> {
  let known: { version: string; workloads: Map<string, Keys> } | undefined;

  async function current(): Promise<Map<string, Keys>> {
    if (options.file === undefined) return new Map();
    const { mtimeMs, size, ino } = await stat(options.file);
    const version = `${mtimeMs} ${size} ${ino}`;
    if (known?.version !== version) known = { version, workloads: await readWorkloads(options.file) };
    return known.workloads;
  }

  await current();
  return {
    async authenticate(assertion) {
      const workloads = await current().catch((error) => {
        throw unauthenticated(`the file of the workloads: ${error.message}`);
      });
      const { workload, jti, expiresAtS } = await verify(assertion, workloads, options.audience);
      if (await options.spend({ workload, jti, expiresAtS })) return workload;
      throw unauthenticated(`${workload} has used that assertion before`);
    },
  };
}

const Claims = z.object({
  // RFC 7523bis: exactly one audience, for an assertion that is sent to two servers could be used by either.
  aud: z.string(),
  iat: z.number(),
  exp: z.number(),
  jti: z.string().regex(/^[\x21-\x7e]{1,200}$/),
});

async function verify(assertion: string, workloads: Map<string, Keys>, audience: string) {
  try {
    const { iss: workload = '' } = decodeJwt(assertion);
    const keys = workloads.get(workload);
    if (!keys) throw unauthenticated('there is no such workload');
    const { payload, protectedHeader } = await jwtVerify(assertion, keys, {
      algorithms: ['EdDSA', 'ES256'],
      issuer: workload,
      subject: workload,
      audience,
      requiredClaims: ['iat', 'exp', 'jti'],
      maxTokenAge: lifetimeMaxS,
      clockTolerance: clockToleranceS,
    });
    const { iat, exp, jti } = Claims.parse(payload);
    if (exp - iat > lifetimeMaxS) throw unauthenticated(`the assertion of ${workload} lives too long`);
    if (!kinds.includes(protectedHeader.typ)) throw unauthenticated('that is a token of another kind');
    return { workload, jti, expiresAtS: exp };
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    const detail =
      error instanceof errors.JOSEError || error instanceof z.ZodError ? error.message : undefined;
    if (detail === undefined) throw error;
    throw unauthenticated(detail);
  }
}

const kinds: readonly (string | undefined)[] = ['client-authentication+jwt', 'JWT', undefined];

const PublicKey = z
  .looseObject({ kty: z.enum(['OKP', 'EC']), crv: z.enum(['Ed25519', 'P-256']), x: z.string() })
  .refine((jwk) => !('d' in jwk), 'This is a private key. Here only public ones belong.');
const File = z.record(z.string().min(1).max(100), z.strictObject({ keys: z.array(PublicKey).min(1) }));

async function readWorkloads(file: string): Promise<Map<string, Keys>> {
  const workloads = File.parse(JSON.parse(await readFile(file, 'utf8')));
  return new Map(
    Object.entries(workloads).map(([id, set]) => [id, createLocalJWKSet(set as unknown as JSONWebKeySet)]),
  );
}

function unauthenticated(detail: string): WaybillError {
  return new WaybillError('WorkloadUnauthenticated', { detail });
}
