import { z } from 'zod';
import { parseDuration, perSecondOf, ratePattern } from '../duration.ts';
import { CredentialName } from '../ports/credentials.ts';
import { DefinitionError } from './definitionError.ts';

/**
 * What an author writes to look values up in another system, between validation and transform. Each value is recorded with its batch, so
 * that a retry gives the same rows whatever the system answers then. See `docs/enrich.md`.
 */
export interface Enrich<Input, V extends z.ZodType, M extends OnMiss> {
  /**
   * What the value depends on: text, a number, a boolean, or a list of these. `null`: there is nothing to look up, which is a miss.
   * Synchronous and pure. Records with equal keys share one value.
   */
  key: (record: Input) => LookupKey | null | undefined;
  /** Schema of a value. A value that does not fit rejects its records (`LookupMismatch`). */
  value: V;
  /**
   * Asks the other system, for one record of each key. Returns as many values as there are records, in their order; `null` and
   * `undefined` are misses. It may be called again for the same records.
   */
  call: (
    records: readonly Input[],
    context: CallContext,
  ) => Promise<readonly (z.input<V> | null | undefined)[]>;
  /** Records of one call, 1 to 10,000. Default 100. */
  batchSize?: number;
  /** Keeps values for later runs of the same definition: a duration of 1s to 365d. Default: each run asks again. */
  cache?: { ttl: string };
  /** Calls of all workers together, such as `'50/s'`, `'300/m'` or `'1000/h'`. Default: no limit. */
  rate?: string;
  /** How long one call may take, 1s to 10m. Default `'30s'`. */
  timeout?: string;
  /**
   * What a missing value means: `'reject'` the record (`LookupMissed`), go on with `'null'`, or `'fail'` the run (`LookupIncomplete`).
   * Default `'reject'`.
   */
  onMiss?: M;
  /** Names of the credentials that `secrets` gives, from the folder `WAYBILL_CREDENTIALS` of the workers. */
  credentials?: readonly string[];
}

export type OnMiss = 'reject' | 'null' | 'fail';
type KeyPart = string | number | boolean;
type LookupKey = KeyPart | readonly KeyPart[];

export interface CallContext {
  /** `fetch` through the egress guard: public hosts, and those that `WAYBILL_EGRESS_ALLOW` names. No redirects. */
  fetch: typeof fetch;
  /** Aborts at the timeout and when the run ends. `fetch` follows it by itself. */
  signal: AbortSignal;
  /** The credential of a name that `credentials` lists, as it is now. */
  secrets(name: string): Promise<string>;
  /** Adds to what a batch costs, such as tokens: `count('tokens', 120)`. The audit shows the sum. Throws `TypeError`. */
  count(unit: string, amount: number): void;
}

/** The code of `enrich`, which stays with the module. */
export interface EnrichCode {
  key: (record: never) => unknown;
  value: z.ZodType;
  call: (records: readonly never[], context: CallContext) => Promise<readonly unknown[]>;
}

/** The part of `enrich` that is data. */
export interface EnrichManifest {
  batchSize: number;
  timeoutMs: number;
  onMiss: OnMiss;
  cacheTtlMs?: number;
  callsPerS?: number;
  credentials?: readonly string[];
}

const duration = (minMs: number, maxMs: number, said: string) =>
  z
    .string()
    .refine((text) => {
      const ms = parseDuration(text);
      return ms !== undefined && ms >= minMs && ms <= maxMs;
    }, `must be a duration such as 30s, 10m or 7d, of ${said}`)
    .transform((text) => parseDuration(text)!);

const callable = z.custom<(...given: never[]) => unknown>(
  (value) => typeof value === 'function',
  'must be a function',
);

export const WrittenEnrich = z.strictObject({
  key: callable,
  value: z.custom<z.ZodType>(
    (value) => typeof value === 'object' && value !== null && '_zod' in value,
    'must be a zod 4 schema',
  ),
  call: callable,
  batchSize: z.int().min(1).max(10_000).default(100),
  cache: z.strictObject({ ttl: duration(1_000, 365 * 86_400_000, '1s to 365d') }).optional(),
  rate: z
    .string()
    .regex(ratePattern, 'must be a number of calls and a unit, such as 50/s, 300/m or 1000/h')
    .transform(perSecondOf)
    .optional(),
  timeout: duration(1_000, 600_000, '1s to 10m').default(30_000),
  onMiss: z.enum(['reject', 'null', 'fail']).default('reject'),
  credentials: z.array(CredentialName).max(16).optional(),
});

/** Splits what was written into data and code. Throws `DefinitionError`. */
export function describeEnrich(
  { key, value, call, batchSize, cache, rate, timeout, onMiss, credentials }: z.output<typeof WrittenEnrich>,
  hasTransform: boolean,
): { terms: EnrichManifest; code: EnrichCode } {
  if (!hasTransform)
    throw new DefinitionError('enrich', [
      { path: '', message: 'needs a transform, which puts the value into the row' },
    ]);
  return {
    terms: {
      batchSize,
      timeoutMs: timeout,
      onMiss,
      ...(cache && { cacheTtlMs: cache.ttl }),
      ...(rate !== undefined && { callsPerS: rate }),
      ...(credentials && { credentials }),
    },
    code: { key, value, call } as unknown as EnrichCode,
  };
}
