import { canonicalJson } from '../canonicalJson.ts';
import { sha256 } from '../sha256.ts';

/**
 * Whether a start or message is the one that its grant was signed for. A header is plaintext in Temporal’s history, so an attacker can
 * copy it into another start or message. Only the workflow that receives it knows its own arguments, parent and message, so the
 * workflow checks, and its activities reject a mismatch (`GrantMismatch`).
 *
 * Nothing is verified here: claims are read as the text has them. That is safe because a finding only ever takes away,
 * and because an activity verifies the signature of this very text before it believes any of it. Free of imports
 * of Node and of schemas, since it runs in the sandbox of workflows.
 */
export type BindingFault =
  /** A grant for a message alone starts a workflow. */
  | 'start'
  /** The workflow was not given the arguments that were signed. */
  | 'arguments'
  /** The id is that of a child, but its parent does not belong to the granted workflow. */
  | 'parent'
  /** The message is not the one that was signed, or none was. */
  | 'message'
  /** The message comes from another tenant than the workflow. */
  | 'tenant'
  /** The message came before. */
  | 'repeated';

/** What Temporal’s server says of a workflow that begins, and what it was given. */
export interface Beginning {
  namespace: string;
  workflowId: string;
  parent?: { namespace: string; workflowId: string } | undefined;
  /** Whether an execution before it continued as this one; its arguments are then its own matter. */
  continued: boolean;
  args: readonly unknown[];
}

export function findStartFault(grant: string, at: Beginning): BindingFault | undefined {
  const tctx = contextIn(grant);
  if (!tctx) return undefined;
  if (at.workflowId !== tctx.workflowId) return isChild(at, tctx.workflowId) ? undefined : 'parent';
  if (tctx.message !== undefined && tctx.argumentsDigest === undefined) return 'start';
  if (tctx.argumentsDigest === undefined || at.continued) return undefined;
  return isDigestOf(tctx.argumentsDigest, at.args) ? undefined : 'arguments';
}

/**
 * `own` is the grant of the workflow that receives the message, where it has one. `heard` holds the ids of the grants
 * that messages to this execution have brought; this one is added.
 */
export function findMessageFault(
  grant: string,
  message: { name: string; args: readonly unknown[] },
  own: string | undefined,
  heard: Set<unknown>,
): BindingFault | undefined {
  const tctx = contextIn(grant);
  if (!tctx) return undefined;
  const signed = tctx.message;
  if (signed?.name !== message.name || !isDigestOf(signed.argumentsDigest, message.args)) return 'message';
  if (own !== undefined && contextIn(own)?.tenant !== tctx.tenant) return 'tenant';
  if (heard.has(tctx.jti)) return 'repeated';
  heard.add(tctx.jti);
  return undefined;
}

/** Lower-case hex SHA-256 of arguments as canonical JSON; `undefined` of what JSON cannot say. */
export function digestOfArguments(args: readonly unknown[]): string | undefined {
  try {
    // Through JSON once, so that values are what the other side receives: a date is its text.
    return sha256(new TextEncoder().encode(canonicalJson(JSON.parse(JSON.stringify(args)))));
  } catch {
    return undefined;
  }
}

function isDigestOf(digest: unknown, args: readonly unknown[]): boolean {
  return typeof digest === 'string' && digest === digestOfArguments(args);
}

function isChild({ namespace, parent }: Beginning, of: unknown): boolean {
  if (parent?.namespace !== namespace) return false;
  return parent.workflowId === of || parent.workflowId.startsWith(`${of}/`);
}

interface Context {
  jti: unknown;
  tenant: unknown;
  workflowId: unknown;
  argumentsDigest?: unknown;
  message?: { name?: unknown; argumentsDigest?: unknown } | undefined;
}

/** What cannot be read is left to the activity, which names what is wrong with it. */
function contextIn(grant: string): Context | undefined {
  try {
    const { jti, tctx } = JSON.parse(new TextDecoder().decode(fromBase64url(grant.split('.')[1]!)));
    return typeof tctx === 'object' && tctx !== null ? { ...tctx, jti } : undefined;
  } catch {
    return undefined;
  }
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** The sandbox has no decoder for it. */
function fromBase64url(text: string): Uint8Array {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const character of text) {
    const value = alphabet.indexOf(character);
    if (value < 0) throw new RangeError('not base64url');
    held = (held << 6) | value;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 0xff);
    held &= (1 << bits) - 1;
  }
  return Uint8Array.from(bytes);
}
