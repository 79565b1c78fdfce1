import { z } from 'zod';
import { CredentialName } from '../../domain/ports/credentials.ts';

/** What `s3://bucket/key` names. A key that is empty or ends with a slash is what the keys of a folder begin with. */
export interface S3Url {
  bucket: string;
  key: string;
}

/**
 * Keys stand in it as they are, not percent-encoded, as in every tool of S3. `undefined` for any other text, and for
 * characters that no database keeps.
 */
export function parseS3Url(text: string): S3Url | undefined {
  const [, bucket, key] = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.*)$/s.exec(text) ?? [];
  if (bucket === undefined || key === undefined) return undefined;
  return text.includes('\0') || !text.isWellFormed() ? undefined : { bucket, key };
}

/** Turns a glob into an expression that fits whole keys: `*`, `?`, `**`, `{a,b}`; every other character means itself. */
export function globExpression(glob: string): RegExp {
  let source = '';
  let depth = 0;
  for (const [token] of glob.matchAll(/\*\*\/|\*\*|[\s\S]/gu)) {
    if (token === '**/') source += '(?:.*/)?';
    else if (token === '**') source += '.*';
    else if (token === '*') source += '[^/]*';
    else if (token === '?') source += '[^/]';
    else if (token === '{') {
      source += '(?:';
      depth++;
    } else if (token === '}' && depth > 0) {
      source += ')';
      depth--;
    } else if (token === ',' && depth > 0) source += '|';
    else source += token.replace(/[\\^$.*+?()[\]{}|/]/, '\\$&');
  }
  return new RegExp(`^${source}${')'.repeat(depth)}$`, 'su');
}

/** Where a bucket is and which keys open it, as a source and a sink of S3 declare it. */
export const bucketOptions = {
  endpoint: z
    .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
    .max(2_048)
    .optional(),
  region: z
    .string()
    .regex(/^[a-z0-9-]{1,64}$/, 'must be the name of a region, such as eu-central-1')
    .optional(),
  credentials: CredentialName,
};
