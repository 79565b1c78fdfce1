import type { CredentialProvider } from '../../domain/ports/credentials.ts';

/** What requests to an object store are signed with. */
export interface S3Keys {
  accessKeyId: string;
  secretAccessKey: string;
  /** Of temporary keys. */
  sessionToken?: string;
}

export interface RotatingKeys {
  current(): Promise<S3Keys>;
  /** After a server rejected `keys`: reads again at once, and resolves with what there is now. */
  renew(keys: S3Keys): Promise<S3Keys>;
}

/** A rotation counts after this at the latest; after a rejection it counts at once. */
const cachedMs = 2_000;

/**
 * The keys as the provider gives them now. A read that fails leaves the keys of before in use, since the file of a
 * rotation may be half written; only after a rejection it throws.
 */
export function rotatingKeys(provider: CredentialProvider): RotatingKeys {
  let known: { keys: S3Keys; readAtMs: number } | undefined;
  let reading: Promise<S3Keys> | undefined;

  function read(): Promise<S3Keys> {
    reading ??= (async () => {
      const keys = parseKeys(await provider.current());
      known = { keys, readAtMs: performance.now() };
      return keys;
    })().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  return {
    async current() {
      if (!known) return read();
      if (performance.now() - known.readAtMs < cachedMs) return known.keys;
      const { keys } = known;
      return read().catch(() => keys);
    },
    async renew(keys) {
      // Another request may have read new ones while this one was under way.
      return known && known.keys.secretAccessKey !== keys.secretAccessKey ? known.keys : read();
    },
  };
}

/**
 * Keys in one of the two forms that exist: the profile `default` (or the first one) of an AWS credentials file, or the JSON
 * of a credential process or a secret manager.
 * Throws `Error`, which names what is missing and holds no value.
 */
export function parseKeys(text: string): S3Keys {
  const values = text.trimStart().startsWith('{') ? jsonValues(text) : profileValues(text);
  const find = (name: string) => values.get(name.replaceAll('_', ''));
  const accessKeyId = find('aws_access_key_id') ?? find('access_key_id');
  const secretAccessKey = find('aws_secret_access_key') ?? find('secret_access_key');
  const sessionToken = find('aws_session_token') ?? find('session_token');
  if (!accessKeyId) throw new Error('The credentials have no aws_access_key_id.');
  if (!secretAccessKey) throw new Error('The credentials have no aws_secret_access_key.');
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}

/** `AccessKeyId`, `accessKeyId` and `access_key_id` are one name. */
function jsonValues(text: string): Map<string, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Error('The credentials begin like JSON, and are not.');
  }
  return new Map(
    Object.entries(parsed as object).map(([name, value]) => [
      name.toLowerCase().replaceAll('_', ''),
      String(value),
    ]),
  );
}

function profileValues(text: string): Map<string, string> {
  const profiles = new Map<string, Map<string, string>>();
  let profile = new Map<string, string>();
  profiles.set('', profile);
  for (const line of text.split(/\r?\n/)) {
    const name = /^\s*\[\s*(?:profile\s+)?([^\]]*?)\s*\]/.exec(line)?.[1];
    if (name !== undefined) {
      profile = new Map();
      profiles.set(name, profile);
    }
    const [, key, value] = /^\s*([A-Za-z_]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (key !== undefined && value) profile.set(key.toLowerCase().replaceAll('_', ''), value);
  }
  return profiles.get('default') ?? [...profiles.values()].find((one) => one.size > 0) ?? new Map();
}
