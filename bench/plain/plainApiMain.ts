import type { AddressInfo } from 'node:net';
import { credentialFrom } from '../../adapters/credentials/credentialFrom.ts';
import { openFileObjectStore } from '../../adapters/objects/fileObjectStore.ts';
import { addressOf } from '../../adapters/postgres/address.ts';
import { createAuditLog, createAuditTrail } from '../../adapters/postgres/audit.ts';
import { createRunInputs } from '../../adapters/postgres/batches/runInputs.ts';
import { createUploads } from '../../adapters/postgres/batches/uploads.ts';
import { connectPool } from '../../adapters/postgres/connect.ts';
import { createDeadLetters } from '../../adapters/postgres/deadLetters/deadLetters.ts';
import { createLimitedRates } from '../../adapters/postgres/limitedRates.ts';
import { createLimits, createStandingLimits } from '../../adapters/postgres/limits.ts';
import { createRunAcceptance } from '../../adapters/postgres/runs/acceptance.ts';
import { createRuns } from '../../adapters/postgres/runs/apiRuns.ts';
import { tenantsOf } from '../../adapters/postgres/tenants.ts';
import type { ApiPorts } from '../../api/ports.ts';
import { buildServer } from '../../api/server.ts';
import { createInputs } from '../../connectors/sources/createSources.ts';
import { loadProject } from '../../engine/project/loadProject.ts';
import { createReceiver } from '../../engine/records/receiver.ts';
import { grantOfRun } from '../../test/support/keys.ts';
import { plainSettings } from './settings.ts';

/*
 * The API as `api/main.ts` wires it, but that everybody is the same engineer: no token is verified, nothing is asked of a policy or
 * of revocations, no grant is signed. Of the ports there are those that a run of one inline record needs. Ends with its parent.
 */
const { databases, project, objects: folder } = plainSettings();
const { url, passwordFile } = databases.waybill_api;
const database = addressOf(url, credentialFrom({ file: passwordFile, value: undefined }));
const tenants = tenantsOf(
  connectPool(database, { connectionsMax: 10, name: 'plain-api', answerWithinMs: 5_000 }),
);
const objects = await openFileObjectStore(folder);
const { sub: id, req, tctx } = grantOfRun;
const { iss: issuer, sub: subject, kind, roles } = req;
const everybody = {
  outcome: 'placed',
  principal: { id, issuer, subject, kind, roles, tenant: tctx.tenant },
  issuedAtS: Math.floor(Date.now() / 1000),
  expiresAtS: Math.floor(Date.now() / 1000) + 3_600,
} as const;
const yes = { allowed: true, policies: [], digest: 'none' };

const limitsOf = createStandingLimits(tenants);
const limits = createLimits(tenants, limitsOf);
const ports: Partial<ApiPorts> = {
  acceptance: createRunAcceptance(tenants, limits),
  limits,
  limitedRates: createLimitedRates(tenants, limitsOf),
  uploads: createUploads(tenants),
  runInputs: createRunInputs(tenants),
  runs: createRuns(tenants, database),
  deadLetters: createDeadLetters(tenants),
  auditTrail: createAuditTrail(tenants),
  checkDatabase: tenants.check,
  waitingQueries: tenants.waiting,
  auditLog: createAuditLog(tenants),
  authenticator: { authenticate: async () => everybody },
  policy: {
    digest: yes.digest,
    roles: [],
    decide: () => yes,
    explain: () => {
      throw new Error('explanations are not asked for here');
    },
  },
  revocations: { find: () => undefined },
  definitions: await loadProject(project),
  grantSigner: {
    sign: async (claims) => JSON.stringify(claims),
    publicKeys: async () => ({ keys: [] }),
  },
  objects,
  receiver: createReceiver(objects),
  inputs: createInputs({ fileRoots: [], egressAllow: [] }),
};
const app = await buildServer(ports as ApiPorts, {
  instance: 'plain',
  namespace: 'default',
  log: { level: 'warn' },
});
await app.listen({ host: '127.0.0.1', port: 0 });
process.once('disconnect', () => process.exit(0));
process.send?.({ port: (app.server.address() as AddressInfo).port });
