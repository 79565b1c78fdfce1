import type { ObjectSettings } from '../adapters/objects/openObjectStore.ts';
import type { DatabaseAddress } from '../adapters/postgres/address.ts';

import type { SourceSettings } from '../domain/connectors/sourceKind.ts';

export interface WorkerSettings {
  /** As the role `waybill_worker`, which sees the tenant that it names. */
  database: DatabaseAddress;
  /** As the role `waybill_relay`. */
  relayDatabase: DatabaseAddress;
  project: string;
  /** The folder of definitions that were served before. */
  keptDefinitions?: string | undefined;
  objects: ObjectSettings;
  /** The folder in which the workers of one machine keep what one step computed for the next. */
  stageCache: string;
  jwksUrl: URL;
  /** The file that says where trust in the keys there begins. */
  keyRoots: string;
  issuer: string;
  temporalAddress: string;
  namespace: string;
  taskQueue: string;
  workflowBundle?: string;
  /** The version of the Worker Deployment that this worker belongs to; without it, runs go on with any worker. */
  version?: { deploymentName: string; buildId: string };
  /** Where `/healthz`, `/readyz` and `/metrics` are; port 0 takes a free one. */
  health: { host: string; port: number };
  fileRoots: readonly string[];
  /** What sources are read with, by the names in definitions. */
  credentials?: SourceSettings['credentials'];
  egressAllow: readonly string[];
  callbackAllow: readonly string[];
  webhookKeys: string;
  identity: string;
  /** The token endpoint of the API. */
  tokenUrl: URL;
  /** Where callers find the API; links in events lead there. Default: links without a host. */
  publicUrl?: string;
  /** Who this worker is to it; without, no source can be read as the caller. */
  workload?: { id: string; keyFile: string };
}
