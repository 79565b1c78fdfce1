import type { Credential, Revocation } from '../revocation.ts';

/** What has been revoked, as of at most 10 s ago. Asked without I/O before every attempt and every request. */
export interface Revocations {
  /** The revocation that makes a credential void, or `undefined`. Throws `RevocationsUnavailable` once its knowledge is older. */
  find(credential: Credential): Revocation | undefined;
}
