import { type Contract, contractOf } from '../contracts/contract.ts';
import type { ErrorCode } from '../errors.ts';
import type { LoadedPipeline } from './definitions.ts';

/** What was applied of the pipelines, as the database has it. */
export interface Deployments {
  /** Why exactly this definition takes no runs; `undefined` where it does, or was never applied. Throws `DatabaseUnavailable`. */
  findRefusal(tenant: string, pipeline: string, definitionDigest: string): Promise<Refusal | undefined>;
  /** Whether exactly this definition is the one that was applied last. Throws `DatabaseUnavailable`. */
  isApplied(pipeline: string, definitionDigest: string): Promise<boolean>;
}

export interface Refusal {
  code: ErrorCode;
  /** Public: what is wrong, and what to do. */
  message: string;
}

/** One pipeline, as it is applied. */
export interface Deployment {
  pipeline: string;
  version: number;
  definitionDigest: string;
  contract: Contract;
  refusal?: Refusal;
}

/** A loaded pipeline as it is applied. */
export function deploymentOf(loaded: LoadedPipeline, refusal?: Refusal): Deployment {
  const { id, version } = loaded.manifest;
  const contract = contractOf(loaded);
  return { pipeline: id, version, definitionDigest: loaded.digest, contract, ...(refusal && { refusal }) };
}
