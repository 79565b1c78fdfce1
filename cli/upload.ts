import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Readable } from 'node:stream';
import type { ResumableUploadOptions, Run, UploadOptions, WaybillClient } from '../sdk/client.ts';
import { CliError } from './context.ts';
import { openProgress } from './output/progress.ts';
import { bytes, duration } from './output/quantities.ts';

/** Data to send: a file of known size, or standard input. */
export interface Data {
  name: string;
  sizeBytes: number | undefined;
  open(fromByte?: number): Readable;
  /** Tells a file from what it was before; `undefined` for what cannot be read again. */
  version?: string;
}

/** Throws `CliError` where the file cannot be read. `-` is standard input. */
export async function dataOf(file: string): Promise<Data> {
  if (file === '-') return { name: 'standard input', sizeBytes: undefined, open: () => process.stdin };
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw new CliError(
      error.code === 'ENOENT' ? `There is no file ${file}.` : `${file} cannot be read: ${error.code}.`,
      'usage',
    );
  });
  if (found.isDirectory()) throw new CliError(`${file} is a folder; name a file.`, 'usage');
  return {
    name: file,
    sizeBytes: found.isFile() ? found.size : undefined,
    open: (start = 0) => createReadStream(file, { highWaterMark: chunkBytes, start }),
    ...(found.isFile() && { version: `${resolve(file)} ${found.size} ${found.mtimeMs}` }),
  };
}

const chunkBytes = 256 * 1024;

/** Streams the data, whatever its size, and shows on standard error how far it is. */
export async function uploadData(
  client: WaybillClient,
  pipeline: string,
  data: Data,
  options: UploadOptions,
  indent = '',
): Promise<Run> {
  const started = performance.now();
  const progress = openProgress(process.stderr, indent);
  const source = data.open();
  let sentBytes = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source) {
      yield chunk;
      sentBytes += chunk.byteLength;
      progress.show(sendingText(sentBytes, data.sizeBytes, performance.now() - started));
    }
    progress.show(`${bytes(sentBytes)} sent; waiting until all of it is durable`);
  }
  try {
    const run = await client.upload(pipeline, counted(), options);
    progress.end(`Sent ${bytes(sentBytes)} in ${duration(performance.now() - started)}.`);
    return run;
  } catch (error) {
    progress.end();
    throw error;
  } finally {
    // A refused upload is over, whatever its source has yet to say.
    source.destroy();
  }
}

/** A file of at least this size is sent so that it can be resumed; a smaller one is as soon sent again. */
export const resumableFromBytes = 8 * 1024 * 1024;

/** The same, from where the data is durable whenever the connection breaks. */
export async function uploadResumably(
  client: WaybillClient,
  pipeline: string,
  data: Data,
  options: ResumableUploadOptions,
): Promise<Run> {
  const started = performance.now();
  const sizeBytes = data.sizeBytes!;
  const progress = openProgress(process.stderr);
  async function* from(fromByte: number): AsyncGenerator<Uint8Array> {
    let sentBytes = fromByte;
    for await (const chunk of data.open(fromByte)) {
      yield chunk;
      sentBytes += chunk.byteLength;
      progress.show(sendingText(sentBytes, sizeBytes, performance.now() - started));
    }
    progress.show(`${bytes(sentBytes)} sent; waiting until all of it is durable`);
  }
  try {
    const run = await client.uploadResumable(pipeline, { sizeBytes, open: from }, options);
    progress.end(`Sent ${bytes(sizeBytes)} in ${duration(performance.now() - started)}.`);
    return run;
  } catch (error) {
    progress.end();
    throw error;
  }
}

const barCells = 24;

/** `Sending ██████░░░░ 42 %  1.2 of 2.9 MB  3.4 MB/s` */
function sendingText(sent: number, size: number | undefined, elapsedMs: number): string {
  const rate = elapsedMs > 200 ? `  ${bytes(Math.round(sent / (elapsedMs / 1000)))}/s` : '';
  if (!size) return `Sending  ${bytes(sent)}${rate}`;
  const share = Math.min(1, sent / size);
  const full = Math.round(share * barCells);
  const bar = '█'.repeat(full) + '░'.repeat(barCells - full);
  return `Sending ${bar} ${Math.floor(share * 100)} %  ${bytes(sent)} of ${bytes(size)}${rate}`;
}
