import { createHash } from 'node:crypto';
import { WaybillError } from '../domain/errors.ts';
import type { ObjectScope, ObjectStore, ObjectWriter } from '../domain/ports/objects.ts';

/** Objects that live as long as the process, for `testPipeline`. */
export function createMemoryObjects(): ObjectStore {
  const objects = new Map<string, Uint8Array>();
  const writtenAtMs = Date.now();

  function keep(scope: ObjectScope, bytes: Uint8Array): string {
    const digest = createHash('sha256').update(bytes).digest('hex');
    objects.set(nameOf(scope, digest), bytes);
    return digest;
  }

  function find(scope: ObjectScope, digest: string): Uint8Array {
    const bytes = objects.get(nameOf(scope, digest));
    if (bytes) return bytes;
    throw new WaybillError('BatchNotFound', { detail: digest });
  }

  return {
    put: async (scope, bytes) => keep(scope, Buffer.from(bytes)),
    create: async (scope) => writerTo((bytes) => keep(scope, bytes)),
    get: async (scope, digest) => find(scope, digest),
    getRange: async (scope, digest, offset, lengthBytes) =>
      find(scope, digest).subarray(offset, offset + lengthBytes),
    remove: async (scope, digests) => {
      for (const digest of digests) objects.delete(nameOf(scope, digest));
    },
    list: async (after, max) =>
      [...objects.keys()]
        .sort()
        .filter((key) => key > after)
        .slice(0, max)
        .map((key) => {
          const [, runId, digest] = JSON.parse(key) as [string, string, string];
          return { key, runId, digest, sizeBytes: objects.get(key)!.length, writtenAtMs };
        }),
    removeListed: async (keys) => {
      for (const key of keys) objects.delete(key);
    },
  };
}

function writerTo(keep: (bytes: Uint8Array) => string): ObjectWriter {
  let chunks: Buffer[] = [];
  return {
    write: async (chunk) => {
      chunks.push(Buffer.from(chunk));
    },
    finish: async () => {
      const bytes = Buffer.concat(chunks);
      return { digest: keep(bytes), sizeBytes: bytes.length };
    },
    abort: async () => {
      chunks = [];
    },
  };
}

/** Refuses the same run ids as a store of files does, so that nothing passes here and fails there. */
function nameOf({ tenant, runId }: ObjectScope, digest: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/.test(runId))
    throw new WaybillError('Internal', { detail: 'a run id that is no name' });
  return JSON.stringify([tenant, runId, digest]);
}
