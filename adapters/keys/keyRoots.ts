import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { WaybillError } from '../../domain/errors.ts';

/** Which keys count for what they are, and not for who vouches for them. */
export interface KeyAnchors {
  /** Thumbprints (RFC 7638). */
  roots: ReadonlySet<string>;
  /** Those that vouch for nobody, because they were revoked before they had vouched for a key. */
  closed: ReadonlySet<string>;
}

/**
 * The file that says where trust in the keys of the grants begins. It lies outside of the database, where neither the role of the
 * API nor the database’s administrator can write: APIs append to it, workers read it, and a person may keep a copy by hand. A
 * line says `root` or `closed` and a thumbprint; one that begins with `#` says nothing. All of it throws `KeysUnavailable`.
 */
export interface KeyRoots {
  /** As the file is now. Throws where it cannot be read, or has no root: nobody could then tell a key from an invention. */
  read(): Promise<KeyAnchors>;
}

export interface WritableKeyRoots extends KeyRoots {
  /** `undefined` where there is no such file yet. */
  find(): Promise<KeyAnchors | undefined>;
  /** Appends, durably and in one piece, so that several APIs may write at once and nobody reads half of a line. */
  add(anchors: { roots?: readonly string[]; closed?: readonly string[] }): Promise<void>;
}

/** Read anew each time: it is small, and asked for once a minute and at each rotation. */
export function openKeyRoots(file: string): WritableKeyRoots {
  async function find(): Promise<KeyAnchors | undefined> {
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
      if (!anchors) throw unavailable(`${file} is not there; the first API writes it`);
      if (anchors.roots.size === 0) throw unavailable(`${file} names no root`);
      return anchors;
    },
    async add({ roots = [], closed = [] }) {
      const lines = [...roots.map((kid) => `root ${kid}\n`), ...closed.map((kid) => `closed ${kid}\n`)];
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

/** Roots that are known already, such as from a setting. */
export function staticTrustAnchors(thumbprints: readonly string[]): KeyRoots {
  const anchors = { roots: new Set(thumbprints), closed: new Set<string>() };
  return { read: async () => anchors };
}

const line = /^(root|closed) ([\w-]{43})$/;

function parse(file: string, text: string): KeyAnchors {
  const found = { root: new Set<string>(), closed: new Set<string>() };
  for (const [i, written] of text.split(/\r?\n/).entries()) {
    const said = written.trim();
    if (said === '' || said.startsWith('#')) continue;
    const [, what, kid] = line.exec(said) ?? [];
    if (what === undefined)
      throw unavailable(`${file}:${i + 1}: write root or closed, and the thumbprint of a key`);
    found[what as keyof typeof found].add(kid!);
  }
  return { roots: found.root, closed: found.closed };
}

function unavailable(detail: string): WaybillError {
  return new WaybillError('KeysUnavailable', { detail });
}
