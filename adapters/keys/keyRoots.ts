import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { WaybillError } from '../../domain/errors.ts';

/** Where trust in the signing keys begins. All are thumbprints (RFC 7638). */
export interface TrustAnchors {
  /** Keys that endorse signing keys. */
  roots: ReadonlySet<string>;
  /** Signing keys that count without an endorsement, such as those of a version without roots. */
  keys: ReadonlySet<string>;
}

/**
 * The roots file. It lies outside of the database, so that write access to the database is not enough to add a key. The API appends to
 * it; a worker reads it, or a copy of it. A line is `root` or `key` and a thumbprint; a line that begins with `#` is a comment. Each
 * function throws `KeysUnavailable`.
 */
export interface KeyRoots {
  /** Throws where the file cannot be read or names no root. */
  read(): Promise<TrustAnchors>;
}

export interface WritableKeyRoots extends KeyRoots {
  /** `undefined` where there is no file yet. */
  find(): Promise<TrustAnchors | undefined>;
  /** Appends durably and with one write, so that several APIs may append at once and a reader never sees half of a line. */
  add(anchors: { roots?: readonly string[]; keys?: readonly string[] }): Promise<void>;
}

/** Reads the file at each call: it is small, and needed once a minute and at each rotation. */
export function openKeyRoots(file: string): WritableKeyRoots {
  async function find(): Promise<TrustAnchors | undefined> {
    const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw unavailable(String(error));
    });
    return text === undefined ? undefined : parse(file, text);
  }

  return {
    find,
    async read() {
      const anchors = await find();
      if (!anchors) throw unavailable(`${file} does not exist; the first API writes it`);
      if (anchors.roots.size === 0) throw unavailable(`${file} names no root`);
      return anchors;
    },
    async add({ roots = [], keys = [] }) {
      const lines = [...roots.map((kid) => `root ${kid}\n`), ...keys.map((kid) => `key ${kid}\n`)];
      if (lines.length === 0) return;
      await append(file, lines.join('')).catch((error) => {
        throw unavailable(String(error));
      });
    },
  };
}

async function append(file: string, text: string): Promise<void> {
  const handle = await open(file, 'a', 0o644);
  try {
    await handle.appendFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  const folder = await open(dirname(file));
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Fixed trust anchors, such as from a setting: each counts as a root and as a signing key. */
export function staticTrustAnchors(thumbprints: readonly string[]): KeyRoots {
  const kids = new Set(thumbprints);
  return { read: async () => ({ roots: kids, keys: kids }) };
}

const line = /^(root|key) ([\w-]{43})$/;

function parse(file: string, text: string): TrustAnchors {
  const found = { root: new Set<string>(), key: new Set<string>() };
  for (const [i, written] of text.split(/\r?\n/).entries()) {
    const entry = written.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    const [, kind, kid] = line.exec(entry) ?? [];
    if (kind === undefined)
      throw unavailable(`${file}:${i + 1} is no entry; write root or key, and the thumbprint of a key`);
    found[kind as keyof typeof found].add(kid!);
  }
  return { roots: found.root, keys: found.key };
}

function unavailable(detail: string): WaybillError {
  return new WaybillError('KeysUnavailable', { detail });
}
