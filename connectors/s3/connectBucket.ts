import type { ErrorCode } from '../../domain/errors.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { CredentialProvider } from '../../domain/ports/credentials.ts';
import { checkUrl, type Egress, publicLookup } from '../egress.ts';
import { rotatingKeys } from './s3Keys.ts';
import { baseUrlOf, createS3Requests, type S3Bucket, type S3Requests } from './s3Requests.ts';
import { parseS3Url } from './s3Url.ts';

/** A bucket as a definition names it. */
export interface NamedBucket {
  url: string;
  endpoint?: string | undefined;
  region?: string | undefined;
  /** The name of the keys. */
  credentials?: string | undefined;
}

export interface BucketSettings {
  egressAllow: readonly string[];
  credentials?: ((name: string) => CredentialProvider) | undefined;
  lookup?: unknown;
}

export interface BucketErrors {
  refused: NonNullable<Egress['refusal']>;
  unavailable: ErrorCode;
}

/** Requests to the bucket, signed with the keys that it names. Throws the two errors. */
export function connectBucket(
  bucket: NamedBucket,
  settings: BucketSettings,
  errors: BucketErrors,
): S3Requests {
  const { at, egress, reach } = checkBucket(bucket, settings, errors.refused);
  const name = bucket.credentials;
  const credential = name === undefined ? undefined : settings.credentials?.(name);
  if (name !== undefined && !credential)
    throw new WaybillError(errors.unavailable, {
      publicDetail: 'This worker has no folder of credentials. Set WAYBILL_CREDENTIALS.',
    });
  return createS3Requests(at, {
    ...(credential && { keys: rotatingKeys(credential) }),
    lookup: reach === 'named' ? (egress.lookup as never) : publicLookup(egress),
  });
}

/** Throws `refusal` where the server may not be called. */
export function checkBucket(
  { url, endpoint, region, credentials }: NamedBucket,
  { egressAllow, lookup }: BucketSettings,
  refusal: BucketErrors['refused'],
) {
  const parsed = parseS3Url(url);
  if (!parsed) throw new WaybillError(refusal, { detail: 'not a URL of an object store' });
  const at: S3Bucket = { bucket: parsed.bucket, region: region ?? 'us-east-1', endpoint };
  const egress: Egress = { allow: egressAllow, refusal, lookup: lookup as Egress['lookup'] };
  const reach = checkUrl(new URL(baseUrlOf(at)), egress, credentials !== undefined);
  return { at, egress, reach };
}
