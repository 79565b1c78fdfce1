import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';

/**
 * Extracts one file of a zip and returns its SHA-256. As much of the format as a wheel needs (PKWARE APPNOTE 4.3):
 * stored or deflated, no encryption, below 4 GiB.
 */
export async function extractMember(zip: string, member: string, to: string): Promise<string> {
  const file = await open(zip);
  try {
    const { method, sizeBytes, offset } = await findMember(file, member);
    const hash = createHash('sha256');
    const hashed = new Transform({
      transform(chunk, _, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    const packed = Readable.from(read(file, offset, sizeBytes));
    if (method === 0) await pipeline(packed, hashed, createWriteStream(to));
    else await pipeline(packed, createInflateRaw({ chunkSize: chunkBytes }), hashed, createWriteStream(to));
    return hash.digest('hex');
  } finally {
    await file.close();
  }
}

interface Member {
  /** 0 stored, 8 deflated. */
  method: number;
  sizeBytes: number;
  /** Of its first byte. */
  offset: number;
}

async function findMember(file: FileHandle, member: string): Promise<Member> {
  const { size } = await file.stat();
  const tail = await bytes(file, Math.max(0, size - endBytesMax), Math.min(size, endBytesMax));
  const end = tail.lastIndexOf(endSignature);
  if (end < 0) throw new Error('it is not a zip file');
  const directory = await bytes(file, tail.readUInt32LE(end + 16), tail.readUInt32LE(end + 12));
  for (let at = 0; at + 46 <= directory.length; ) {
    const nameBytes = directory.readUInt16LE(at + 28);
    const name = directory.toString('utf8', at + 46, at + 46 + nameBytes);
    if (name === member) {
      const method = directory.readUInt16LE(at + 10);
      if (method !== 0 && method !== 8) throw new Error(`${member} is packed by method ${method}`);
      const local = directory.readUInt32LE(at + 42);
      const header = await bytes(file, local, 30);
      const offset = local + 30 + header.readUInt16LE(26) + header.readUInt16LE(28);
      return { method, sizeBytes: directory.readUInt32LE(at + 20), offset };
    }
    at += 46 + nameBytes + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32);
  }
  throw new Error(`the zip file holds no ${member}`);
}

const endSignature = Buffer.from('PK\x05\x06', 'latin1');
/** The end record, with the longest comment. */
const endBytesMax = 22 + 0xffff;
const chunkBytes = 1 << 20;

async function* read(file: FileHandle, offset: number, sizeBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < sizeBytes; at += chunkBytes)
    yield await bytes(file, offset + at, Math.min(chunkBytes, sizeBytes - at));
}

async function bytes(file: FileHandle, offset: number, sizeBytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(sizeBytes);
  const { bytesRead } = await file.read(buffer, 0, sizeBytes, offset);
  if (bytesRead < sizeBytes) throw new Error('the zip file is cut off');
  return buffer;
}
