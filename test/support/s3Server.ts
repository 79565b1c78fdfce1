import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RotatingKeys, rotatingKeys } from '../../connectors/s3/s3Keys.ts';
import { createS3Requests, type S3Requests } from '../../connectors/s3/s3Requests.ts';
import { runToEnd } from '../../dev/binaries/runToEnd.ts';
import { searchFromEnvironment } from '../../dev/binaries/temporalBinary.ts';
import { locateVersitygw } from '../../dev/binaries/versitygw.ts';
import { choosePorts } from '../../dev/stack/ports.ts';

/** A real S3-compatible server (versitygw) on loopback, with one account that owns everything. */
export interface S3Server {
  endpoint: string;
  /** `host:port` */
  host: string;
  region: string;
  /** An AWS credentials file with the keys of the owner. */
  credentialsFile: string;
  /** The same text. */
  credentials: string;
  /** Makes a bucket, and returns how to reach it as the owner. */
  newBucket(): Promise<{ bucket: string; requests: S3Requests }>;
  /** Adds an account with keys of its own, which may use every bucket; `remove` ends it at once. */
  addAccount(): Promise<{ credentials: string; remove(): Promise<void> }>;
  stop(): Promise<void>;
  /** Ends the process where it stands, and starts it again on the same port with the same data. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** Why tests with a real S3 server are skipped here; `false` where it is installed. */
export const noS3Server: string | false = (await locateVersitygw(searchFromEnvironment(process.env)))
  ? false
  : 'versitygw is not installed: npm run s3-server';

export async function startS3Server(): Promise<S3Server> {
  const program = await locateVersitygw(searchFromEnvironment(process.env));
  if (!program) throw new Error(String(noS3Server));
  const folder = await mkdtemp(join(tmpdir(), 'waybill-s3-'));
  for (const name of ['data', 'iam', 'sidecar']) await mkdir(join(folder, name));
  const keys = { accessKeyId: 'OWNER', secretAccessKey: randomBytes(20).toString('hex') };
  const { port } = await choosePorts({ port: 0 });
  const host = `127.0.0.1:${port}`;
  const endpoint = `http://${host}`;
  const region = 'us-east-1';
  const credentials = textOf(keys);
  const credentialsFile = join(folder, 'credentials');
  await writeFile(credentialsFile, credentials);
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const flags = ['--port', host, '--region', region, '--health', '/healthz', '--quiet'];
    child = spawn(
      program!,
      [
        ...flags,
        '--iam-dir',
        join(folder, 'iam'),
        '--iam-cache-disable',
        'posix',
        '--sidecar',
        join(folder, 'sidecar'),
        join(folder, 'data'),
      ],
      { env: { ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey }, stdio: 'ignore' },
    );
    const until = performance.now() + 10_000;
    for (;;) {
      const isReady = await fetch(`${endpoint}/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isReady) return;
      if (performance.now() > until || child.exitCode !== null) throw new Error('versitygw did not start');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async function kill(): Promise<void> {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  process.once('exit', () => child?.kill('SIGKILL'));
  await start();

  return {
    endpoint,
    host,
    region,
    credentialsFile,
    credentials,
    start,
    kill,

    async newBucket() {
      const bucket = `b-${randomUUID()}`;
      const requests = createS3Requests({ bucket, region, endpoint }, { keys: fixedKeys(credentials) });
      await (await requests.send({ method: 'PUT' })).body.dump();
      return { bucket, requests };
    },

    async addAccount() {
      const account = {
        accessKeyId: `K${randomBytes(8).toString('hex')}`,
        secretAccessKey: randomBytes(20).toString('hex'),
      };
      const asOwner = [
        '--access',
        keys.accessKeyId,
        '--secret',
        keys.secretAccessKey,
        '--endpoint-url',
        endpoint,
      ];
      const { accessKeyId, secretAccessKey } = account;
      const admin = (...args: string[]) => runToEnd(program, ['admin', ...asOwner, ...args]);
      await admin('create-user', '--access', accessKeyId, '--secret', secretAccessKey, '--role', 'admin');
      return {
        credentials: textOf(account),
        remove: async () => void (await admin('delete-user', '--access', accessKeyId)),
      };
    },

    async stop() {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function fixedKeys(credentials: string): RotatingKeys {
  return rotatingKeys({ current: async () => credentials });
}

function textOf(keys: { accessKeyId: string; secretAccessKey: string }): string {
  return `[default]\naws_access_key_id = ${keys.accessKeyId}\naws_secret_access_key = ${keys.secretAccessKey}\n`;
}
