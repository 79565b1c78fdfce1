/**
 * Bytes under tenant, run and content digest. Objects are immutable: writing the same bytes again changes nothing.
 * A client never names a path; only `(tenant, run, digest)` does.
 */
export interface ObjectStore {
  /** How a compute thread opens the same store; without it, the main thread reads for it. */
  readonly opener?: StoreOpener;
  /** Stores bytes and resolves with their digest once they survive a power loss. */
  put(scope: ObjectScope, bytes: Uint8Array): Promise<string>;
  /** Opens an object of unknown length; nothing can be read of it before `finish`. */
  create(scope: ObjectScope): Promise<ObjectWriter>;
  /** Reads an object and compares it with its digest. Throws `BatchNotFound`, `BatchCorrupt` or `StorageUnavailable`. */
  get(scope: ObjectScope, digest: string): Promise<Uint8Array>;
  /** Reads a range of an object of any size, without comparing. Throws `BatchNotFound`. */
  getRange(scope: ObjectScope, digest: string, offset: number, lengthBytes: number): Promise<Uint8Array>;
  /** Forgets objects; absent ones are ignored. */
  remove(scope: ObjectScope, digests: readonly string[]): Promise<void>;
  /** Up to `max` objects of all tenants, in the order of their keys, after one of them; `''`: from the first. */
  list(after: string, max: number): Promise<StoredObject[]>;
  /** Forgets objects that `list` has named; absent ones are ignored. */
  removeListed(keys: readonly string[]): Promise<void>;
}

/** A call of an exported function. */
export interface StoreOpener {
  /** URL of the module. */
  module: string;
  name: string;
  /** Can be sent to a thread. */
  args: readonly unknown[];
}

/** An object as the store knows it, which has no more than a hash of its tenant. */
export interface StoredObject {
  key: string;
  runId: string;
  digest: string;
  sizeBytes: number;
  writtenAtMs: number;
}

export interface ObjectScope {
  tenant: string;
  runId: string;
}

export interface ObjectWriter {
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the object durable and resolves with its digest. */
  finish(): Promise<{ digest: string; sizeBytes: number }>;
  /** Drops what was written. Safe to call at any time, also after `finish` (then it does nothing). */
  abort(): Promise<void>;
}
