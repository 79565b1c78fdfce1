import { z } from 'zod';

/** By which a definition names a credential of the folder `WAYBILL_CREDENTIALS`. */
export const CredentialName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/, 'must be a name of up to 63 of A-Z, a-z, 0-9, _ . -');

/**
 * A secret that an operator may rotate while this process runs. Its users ask each time, so that a new value counts
 * from the next use on; it is never kept, never logged, and never part of the state of a workflow.
 */
export interface CredentialProvider {
  /** The value as it is now. Throws where it cannot be read, which may well pass: a rotation may be under way. */
  current(): Promise<string>;
}
