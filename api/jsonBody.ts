import type { Readable } from 'node:stream';
import { sha256 } from '../application/sha256.ts';
import { WaybillError } from '../domain/errors.ts';
import { parseWithItems } from '../domain/json/parseExactJson.ts';
import { scanJson } from '../domain/json/scanJson.ts';

export interface JsonBody {
  value: unknown;
  /** The items of its member `records` as they came, where a JavaScript value would not be equal to one of them. */
  recordTexts?: string[] | undefined;
  /** Lower-case hex SHA-256 of the bytes as they came. */
  digest: string;
}

const depthMax = 64;
/** Each value takes memory of its own, however short it is. */
const valuesMax = 500_000;

/**
 * Parses a JSON body; an empty one is `undefined`. Throws `RequestTooLarge` for more than 500,000 values, and `InvalidJson` for what
 * is not UTF-8, not JSON, nested deeper than 64, has a key `__proto__` or a number that is too large, and for a key that stands twice
 * or a number that JavaScript would change, except inside of `records`, where it rejects one record.
 */
export function parseJsonBody(bytes: Uint8Array): JsonBody | undefined {
  if (bytes.length === 0) return undefined;
  return { ...parseJson(bytes), digest: sha256(bytes) };
}

function parseJson(bytes: Uint8Array): Pick<JsonBody, 'value' | 'recordTexts'> {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    checkShape(text);
    const value: unknown = JSON.parse(text);
    if (suspicious.test(text)) checkValue(value);
    if (!scanJson(text, depthMax).doubtful) return { value };
    const exact = parseWithItems(text, 'records');
    if (exact.inexact) throw new WaybillError('InvalidJson', { detail: 'a number has too many digits' });
    if (exact.duplicateKey !== undefined)
      throw new WaybillError('InvalidJson', { detail: 'a key stands twice' });
    return { value: exact.value, recordTexts: exact.items };
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    throw new WaybillError('InvalidJson', { detail: error instanceof Error ? error.name : '' });
  }
}

/** Before parsing, and without recursion: a parser that recurses must never see what is too deep. */
function checkShape(text: string): void {
  let depth = 0;
  let values = 1;
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (quoted) {
      if (c === 0x5c) i++;
      else if (c === 0x22) quoted = false;
    } else if (c === 0x22) quoted = true;
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > depthMax) throw new WaybillError('InvalidJson', { detail: 'too deep' });
    } else if (c === 0x7d || c === 0x5d) depth--;
    else if (c === 0x2c && ++values > valuesMax) throw new WaybillError('RequestTooLarge');
  }
}

/** Text in which alone a value can hide that `checkValue` rejects. */
const suspicious = /__proto__|\\u|\d[eE]\+?\d\d|\d{300}/;

function checkValue(value: unknown): void {
  if (value === Infinity || value === -Infinity)
    throw new WaybillError('InvalidJson', { detail: 'a number is too large' });
  if (typeof value !== 'object' || value === null) return;
  if (Object.hasOwn(value, '__proto__')) throw new WaybillError('InvalidJson', { detail: '__proto__' });
  for (const inner of Object.values(value)) checkValue(inner);
}

/** `onChunk`: told of the size of each. Throws `RequestTooLarge`, `RequestTimeout`, or `InvalidRequest` where the body ends early. */
export async function readBytes(
  stream: Readable,
  bytesMax: number,
  withinMs: number,
  onChunk: (sizeBytes: number) => void = () => {},
): Promise<Buffer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new WaybillError('RequestTimeout')), withinMs);
  });
  try {
    return await Promise.race([gather(stream, bytesMax, onChunk), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function gather(
  stream: Readable,
  bytesMax: number,
  onChunk: (sizeBytes: number) => void,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  // A rejected stream is not destroyed: that would close the connection, and the answer would be lost.
  try {
    for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
      sizeBytes += chunk.length;
      if (sizeBytes > bytesMax) throw new WaybillError('RequestTooLarge');
      onChunk(chunk.length);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof WaybillError) throw error;
    throw new WaybillError('InvalidRequest', { detail: 'the body ended early', cause: error });
  }
  return Buffer.concat(chunks);
}
