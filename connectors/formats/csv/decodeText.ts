import { WaybillError } from '../../../domain/errors.ts';
import { binaryFormat } from '../textRecords.ts';
import type { Encoding } from './csvManifest.ts';

type Decoder = (chunk: Buffer) => Buffer;

/**
 * Bytes of a declared encoding as UTF-8. What is no character of it becomes bytes that are not UTF-8, so that the record
 * around them is rejected and no other; nothing is replaced. Throws `FormatMismatch` where the first bytes plainly are of
 * another encoding.
 */
export async function* decodeText(
  bytes: AsyncIterable<Uint8Array>,
  encoding: Exclude<Encoding, 'utf-8'>,
): AsyncGenerator<Uint8Array, void, void> {
  const decode =
    encoding === 'latin1'
      ? latin1
      : encoding === 'windows-1252'
        ? windows1252
        : utf16(encoding === 'utf-16be');
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of bytes) {
    const buffer = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    if (!head) {
      yield decode(buffer);
      continue;
    }
    head = Buffer.concat([head, buffer]);
    if (head.length < headBytes) continue;
    checkEncoding(head, encoding);
    yield decode(head);
    head = undefined;
  }
  if (head) {
    checkEncoding(head, encoding);
    yield decode(head);
  }
  yield decode(endOfData);
}

const headBytes = 64;
const endOfData = Buffer.alloc(0);

function checkEncoding(head: Buffer, encoding: Encoding): void {
  const binary = binaryFormat(head.toString('latin1'));
  if (binary) throw new WaybillError('FormatMismatch', { publicDetail: binary });
  const mark = head.toString('latin1', 0, 3);
  const wide = encoding.startsWith('utf-16');
  const found =
    mark === '\xef\xbb\xbf'
      ? 'utf-8'
      : mark.startsWith('\xff\xfe')
        ? 'utf-16le'
        : mark.startsWith('\xfe\xff')
          ? 'utf-16be'
          : wide && head.length >= 8 && /^[\t\r\n\x20-\x7e]*$/.test(head.toString('latin1'))
            ? 'utf-8'
            : undefined;
  if (found && found !== encoding)
    throw new WaybillError('FormatMismatch', {
      publicDetail: `The data is not ${encoding}, as declared. Declare csv({ encoding: '${found}' }), or convert it.`,
    });
}

const latin1: Decoder = (chunk) => Buffer.from(chunk.toString('latin1'));

/** What bytes 0x80 to 0x9f are; five of them are no character. */
const upper1252 = '€\0‚ƒ„…†‡ˆ‰Š‹Œ\0Ž\0\0‘’“”•–—˜™š›œ\0žŸ';

const windows1252: Decoder = (chunk) => {
  const parts: Buffer[] = [];
  let start = 0;
  const upTo = (end: number) => {
    if (end > start) parts.push(Buffer.from(chunk.toString('latin1', start, end)));
    start = end + 1;
  };
  for (let at = 0; at < chunk.length; at++) {
    const byte = chunk[at]!;
    if (byte < 0x80 || byte > 0x9f) continue;
    upTo(at);
    const character = upper1252[byte - 0x80]!;
    // A continuation byte by itself is not UTF-8.
    parts.push(character === '\0' ? chunk.subarray(at, at + 1) : Buffer.from(character));
  }
  upTo(chunk.length);
  return Buffer.concat(parts);
};

/** Half a surrogate pair is written as UTF-8 would write it, which is not valid; half a unit at the end as 0xff. */
function utf16(bigEndian: boolean): Decoder {
  let kept = Buffer.alloc(0);
  return (chunk) => {
    const ends = chunk === endOfData;
    const all = kept.length > 0 ? Buffer.concat([kept, chunk]) : chunk;
    let end = all.length - (all.length % 2);
    const units = Buffer.from(all.subarray(0, end));
    if (bigEndian) units.swap16();
    if (!ends && end > 0 && isHigh(units.readUInt16LE(end - 2))) end -= 2;
    kept = Buffer.from(all.subarray(end));
    const text = units.toString('utf16le', 0, end);
    const decoded = text.isWellFormed() ? Buffer.from(text) : withHalves(text);
    if (!ends || kept.length === 0) return decoded;
    kept = Buffer.alloc(0);
    return Buffer.concat([decoded, Buffer.from([0xff])]);
  };
}

function isHigh(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}

function withHalves(text: string): Buffer {
  const parts: Buffer[] = [];
  for (const part of text.split(/(\p{Surrogate})/u)) {
    const unit = part.length === 1 && !part.isWellFormed() ? part.charCodeAt(0) : undefined;
    if (unit === undefined) parts.push(Buffer.from(part));
    else parts.push(Buffer.from([0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)]));
  }
  return Buffer.concat(parts);
}
