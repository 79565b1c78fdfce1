import { z } from 'zod';

/** A URL may be valid and hold what PostgreSQL cannot keep, as written. */
export const HttpUrl = z
  .url({ protocol: /^https?$/ })
  .max(2_048)
  .refine((url) => !/[\s\p{Cc}\p{Cs}]/u.test(url), 'Percent-encode white space and control characters.');
const S3Url = z
  .string()
  .max(2_048)
  .regex(/^s3:\/\/[^/]+\//, 'Name s3://bucket/key.')
  .refine((url) => url.isWellFormed() && !url.includes('\0'), 'A character of it cannot be stored.');
const FilePath = z
  .string()
  .min(1)
  .max(4_096)
  .refine((path) => path.isWellFormed(), 'Half of a surrogate pair is not a character.');

/** What a request or a schedule may name in place of what the definition names. */
export const SourceReference = z.union([
  z.strictObject({ path: FilePath }),
  z.strictObject({ url: z.union([HttpUrl, S3Url]) }),
]);
export type SourceReference = z.infer<typeof SourceReference>;
