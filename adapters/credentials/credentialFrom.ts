import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CredentialProvider } from '../../domain/ports/credentials.ts';

/**
 * Where settings say that a secret is: in a file, which may be rewritten or replaced at any time, else in the environment.
 * That is the last resort: a variable stays what it was when the process started, and shows in more places than one thinks.
 */
export function credentialFrom(settings: {
  file: string | undefined;
  value: string | undefined;
}): CredentialProvider | undefined {
  const { file, value } = settings;
  if (file !== undefined) return { current: () => readCredential(file) };
  if (value !== undefined) return { current: async () => value };
  return undefined;
}

/**
 * The credentials that sources and sinks name: a file for each name in a folder, as secrets are mounted. `undefined` without a
 * folder. A name comes from a definition, so it is no path.
 */
export function credentialsIn(
  folder: string | undefined,
): ((name: string) => CredentialProvider) | undefined {
  if (folder === undefined) return undefined;
  return (name) => ({
    async current() {
      if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name))
        throw new Error('the name of a credential is no file name');
      return readCredential(join(folder, name));
    },
  });
}

/** Editors and `echo` end a file with a line break, which is no part of the secret. An empty file is one half written. */
async function readCredential(file: string): Promise<string> {
  const secret = (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  if (secret === '') throw new Error(`${file} is empty`);
  return secret;
}
