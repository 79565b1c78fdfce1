import { WaybillError } from '../../domain/errors.ts';
import { grantType } from '../../domain/grants/grant.ts';

/** The parts of a grant before any of it is verified. */
export interface GrantForm {
  kid: string;
  /** As JSON has it; not verified. */
  payload: Readonly<Record<string, unknown>>;
}

/** The grant of a run has about 2 KB. A longer text is no grant. */
const charactersMax = 16_384;

/**
 * Reads the form of a grant: a compact JWS (RFC 7515) of three canonical parts with an Ed25519 signature. The
 * header has `alg`, `typ` and `kid` and nothing else. Both JSON texts must be what serialising them again makes of them, so
 * that no claim is there twice and two readers never read two things.
 *
 * Throws `GrantMalformed`, `GrantAlgorithmUnsupported`, `GrantTypeMismatch`.
 */
export function readGrantForm(grant: string, type: string = grantType): GrantForm {
  if (grant.length > charactersMax) throw malformed('too long');
  const parts = grant.split('.');
  if (parts.length !== 3) throw malformed(`${parts.length} parts`);
  const [header, payload, signature] = parts.map(decode) as [Buffer, Buffer, Buffer];
  const { alg, typ, kid, ...others } = readObject(header, 'header');
  if (alg !== 'EdDSA') throw new WaybillError('GrantAlgorithmUnsupported', { detail: `alg ${String(alg)}` });
  // Whatever else a header may say (`crit`, `b64`, `zip`, `jwk`, `jku`, `x5u` …) changes how or by what it is verified.
  const [other] = Object.keys(others);
  if (other !== undefined) throw new WaybillError('GrantAlgorithmUnsupported', { detail: `header ${other}` });
  if (typ !== type) throw new WaybillError('GrantTypeMismatch', { detail: `typ ${String(typ)}` });
  if (typeof kid !== 'string') throw malformed('no kid');
  if (signature.length !== 64) throw malformed('the signature is cut');
  return { kid, payload: readObject(payload, 'payload') };
}

/** Base64url without padding, white space or unused bits. */
function decode(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.toString('base64url') !== part) throw malformed('not base64url');
  return bytes;
}

function readObject(bytes: Buffer, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
    if (JSON.stringify(value) !== text) throw malformed(`the ${what} is not canonical`);
  } catch (error) {
    throw error instanceof WaybillError ? error : malformed(`the ${what} is not JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(`the ${what} is no object`);
  return value as Record<string, unknown>;
}

function malformed(detail: string): WaybillError {
  return new WaybillError('GrantMalformed', { detail });
}
