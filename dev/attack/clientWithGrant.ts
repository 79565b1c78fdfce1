import { Client, type Connection } from '@temporalio/client';
import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import { grantHeader } from '../../domain/grants/grantHeader.ts';

/** A client of Temporal that sends this grant, valid or not, with every request; `undefined` sends none. */
export function clientWithGrant(connection: Connection, grant: unknown): Client {
  const headers: Headers =
    grant === undefined ? {} : { [grantHeader]: defaultPayloadConverter.toPayload(grant)! };
  const add = <T extends { headers: Headers }>(input: T): T => ({ ...input, headers });
  return new Client({
    connection,
    interceptors: {
      workflow: [
        {
          startWithDetails: (input, next) => next(add(input)),
          signalWithStart: (input, next) => next(add(input)),
          startUpdate: (input, next) => next(add(input)),
          startUpdateWithStart: (input, next) =>
            next({ ...input, workflowStartHeaders: headers, updateHeaders: headers }),
        },
      ],
      schedule: [{ create: (input, next) => next(add(input)) }],
    },
  });
}
