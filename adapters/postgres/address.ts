import { Client, type ClientConfig } from 'pg';
import { WaybillError } from '../../domain/errors.ts';
import type { CredentialProvider } from '../../domain/ports/credentials.ts';

/** Where a database is, and the role: a URL with its password, or a URL and a provider that is asked at each connect. */
export type DatabaseAddress = string | { url: string; password: CredentialProvider };

/** An address as settings give it; a credential goes before what the URL says. */
export function addressOf(url: string, password: CredentialProvider | undefined): DatabaseAddress {
  return password ? { url, password } : url;
}

/** Connections that live longer than this are replaced, so that a password that was rotated out is out of use in time. */
export const lifetimeMaxS = 15 * 60;

/** What a client or a pool needs to get to the address. */
export function reach(address: DatabaseAddress): { connectionString: string; Client: typeof Client } {
  if (typeof address === 'string') return { connectionString: address, Client };
  const { url, password } = address;
  return {
    connectionString: url,
    Client: class extends Client {
      constructor(config?: string | ClientConfig) {
        super(config);
        // Beside a connection string `pg` ignores a callback, even where the string has no password.
        Object.assign(this, { password: () => currentOf(password, this) });
      }
    },
  };
}

async function currentOf(password: CredentialProvider, client: Client): Promise<string> {
  try {
    return await password.current();
  } catch (error) {
    // `pg` reports the error to the caller, and leaves the connection waiting for a password until the server closes it.
    client.on('error', () => {});
    setImmediate(() => void client.end().catch(() => {}));
    throw new WaybillError('DatabaseUnavailable', { detail: (error as Error).message, cause: error });
  }
}

/** A single connection to the address, not yet open. One that breaks reports it to the query under way. */
export function clientAt(address: DatabaseAddress, options: ClientConfig = {}): Client {
  const { connectionString, Client } = reach(address);
  const client = new Client({ ...options, connectionString });
  client.on('error', () => {});
  return client;
}
