import { z } from 'zod';
import { rotatingKeys } from '../../connectors/s3/s3Keys.ts';
import { createS3Requests } from '../../connectors/s3/s3Requests.ts';
import type { ObjectStore } from '../../domain/ports/objects.ts';
import { SettingsError } from '../../domain/settings.ts';
import { credentialFrom } from '../credentials/credentialFrom.ts';
import { openFileObjectStore } from './fileObjectStore.ts';
import { openS3ObjectStore } from './s3ObjectStore.ts';

/** The settings of a process that uses the object store. All APIs and workers name the same one. */
export const objectSettings = {
  /** A folder, for one machine or a shared file system; or `s3://bucket/prefix`. */
  WAYBILL_OBJECTS: z
    .string()
    .regex(
      /^(?!s3:)|^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/.*)?$/,
      'is neither a folder nor s3://bucket/prefix',
    ),
  /** The URL of an S3-compatible server. Default: AWS. */
  WAYBILL_OBJECTS_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  WAYBILL_OBJECTS_REGION: z.string().default('us-east-1'),
  /** An AWS credentials file, or JSON with `AccessKeyId` and `SecretAccessKey`; read again when it changes. */
  WAYBILL_OBJECTS_CREDENTIALS_FILE: z.string().optional(),
  /** The same text itself, where there is no file. */
  WAYBILL_OBJECTS_CREDENTIALS: z.string().optional(),
};

export type ObjectSettings = Readonly<z.infer<z.ZodObject<typeof objectSettings>>>;

/**
 * Throws `SettingsError`, and `StorageUnavailable` where the store cannot be used now.
 * @param reserveBytes of the disk of a folder, which this process leaves to others
 */
export async function openObjectStore(settings: ObjectSettings, reserveBytes = 0): Promise<ObjectStore> {
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)\/?(.*?)\/*$/.exec(settings.WAYBILL_OBJECTS) ?? [];
  if (bucket === undefined) return openFileObjectStore(settings.WAYBILL_OBJECTS, reserveBytes);
  const credential = credentialFrom({
    file: settings.WAYBILL_OBJECTS_CREDENTIALS_FILE,
    value: settings.WAYBILL_OBJECTS_CREDENTIALS,
  });
  if (!credential)
    throw new SettingsError(
      'WAYBILL_OBJECTS is a bucket. Set WAYBILL_OBJECTS_CREDENTIALS_FILE to a file with its keys.',
    );
  const requests = createS3Requests(
    { bucket, region: settings.WAYBILL_OBJECTS_REGION, endpoint: settings.WAYBILL_OBJECTS_ENDPOINT },
    { keys: rotatingKeys(credential) },
  );
  const store = await openS3ObjectStore(requests, { prefix });
  const own = Object.keys(objectSettings).map((name) => [name, settings[name as keyof ObjectSettings]]);
  const args = [Object.fromEntries(own)];
  return { ...store, opener: { module: import.meta.url, name: 'openObjectStore', args } };
}
