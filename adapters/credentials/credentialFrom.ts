import { readFile } from 'node:fs/promises';
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

/** Editors and `echo` end a file with a line break, which is no part of the secret. An empty file is one half written. */
async function readCredential(file: string): Promise<string> {
  const secret = (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  if (secret === '') throw new Error(`${file} is empty`);
  return secret;
}
