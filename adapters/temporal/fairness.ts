import { connect } from 'node:http2';
import protobuf from 'protobufjs';

/** What a queue that is not fair costs, and what to do. */
export const fairnessMissing =
  'Temporal does not share a task queue between tenants: the runs of a busy tenant delay those of all others. ' +
  'Set matching.useNewMatcher and matching.enableFairness to true in the dynamic configuration of the server.';

const callMs = 5_000;

/**
 * Whether the server shares a task queue between tenants by their fairness keys; it accepts the keys either way.
 * `undefined` as long as the first part of the queue never had a backlog: from then on a fair queue tells levels that others do not have.
 * One call of the administrator’s service. Throws if the server does not answer it to workers.
 */
export async function isQueueFair(queue: QueueOfServer): Promise<boolean | undefined> {
  const current = (await describePartition(queue)).filter(({ draining }) => !draining);
  const [fair, plain] = [fairLevels, plainLevels].map((levels) =>
    current.some((status) => levels.some((level) => status[level] && status[level] !== '0')),
  );
  return fair || plain ? fair : undefined;
}

const fairLevels = ['fairReadLevel', 'fairAckLevel', 'fairMaxReadLevel'] as const;
const plainLevels = ['readLevel', 'ackLevel', 'maxReadLevel'] as const;

export interface QueueOfServer {
  /** `host:port`, without TLS. */
  address: string;
  namespace: string;
  taskQueue: string;
}

type QueueStatus = { draining?: boolean } & Partial<Record<(typeof fairLevels)[number], object>> &
  Partial<Record<(typeof plainLevels)[number], string>>;

/** temporal/server/api/adminservice and taskqueue of server 1.32, as far as it is read here. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message Request { string namespace = 1; Partition partition = 2; Versions versions = 3; }
  message Partition { string taskQueue = 1; int32 type = 2; }
  message Versions { bool unversioned = 2; }
  message Response { map<string, Version> versions = 1; }
  message Version { Info info = 2; }
  message Info { repeated Status statuses = 3; }
  message Status {
    int64 readLevel = 1;
    int64 ackLevel = 2;
    int64 maxReadLevel = 6;
    Level fairReadLevel = 7;
    Level fairAckLevel = 8;
    Level fairMaxReadLevel = 9;
    bool draining = 10;
  }
  message Level { int64 taskPass = 1; }
`);
const Request = root.lookupType('Request');
const Response = root.lookupType('Response');
const workflowTasks = 1;

async function describePartition({ address, namespace, taskQueue }: QueueOfServer): Promise<QueueStatus[]> {
  const request = Request.encode({
    namespace,
    partition: { taskQueue, type: workflowTasks },
    versions: { unversioned: true },
  }).finish();
  const answer = await callGrpc(
    address,
    '/temporal.server.api.adminservice.v1.AdminService/DescribeTaskQueuePartition',
    request,
  );
  const { versions } = Response.toObject(Response.decode(answer), { longs: String }) as {
    versions?: Record<string, { info?: { statuses?: QueueStatus[] } }>;
  };
  return Object.values(versions ?? {}).flatMap(({ info }) => info?.statuses ?? []);
}

/** One call without a stream: gRPC is a POST over HTTP/2 of messages that each have five bytes before them. */
async function callGrpc(address: string, path: string, message: Uint8Array): Promise<Uint8Array> {
  const session = connect(`http://${address}`);
  try {
    return await new Promise((resolve, reject) => {
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      const stream = session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const chunks: Buffer[] = [];
      session.once('error', reject);
      stream.once('error', reject);
      stream.setTimeout(callMs, () => reject(new Error(`no answer from ${address}`)));
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.once('end', () => {
        const body = Buffer.concat(chunks);
        // An error is told in the trailers, without a message.
        if (body.length < 5) reject(new Error(`${path} was refused`));
        else resolve(body.subarray(5, 5 + body.readUInt32BE(1)));
      });
      stream.end(Buffer.concat([prefix, message]));
    });
  } finally {
    session.destroy();
  }
}
