/*
 * What the commands do on a project and on its database themselves, without the API: test, plan and apply. Each needs
 * the adapters of policies and PostgreSQL; the CLI imports this entry only when such a command runs.
 */
import { resolve } from 'node:path';
import { credentialFrom, credentialsIn } from '../adapters/credentials/credentialFrom.ts';
import { createPolicyEngine } from '../adapters/policy/engine.ts';
import { namesIn, type StrayName, strayNames } from '../adapters/policy/names.ts';
import { readCases } from '../adapters/policy/readCases.ts';
import { readPolicies } from '../adapters/policy/readPolicies.ts';
import { addressOf, clientAt, type DatabaseAddress } from '../adapters/postgres/address.ts';
import {
  applyLimits,
  type LimitChange,
  planLimits as planLimitsOf,
} from '../adapters/postgres/applyLimits.ts';
import {
  applyRetention,
  planRetention as planRetentionOf,
  type RetentionChange,
} from '../adapters/postgres/applyRetention.ts';
import { applySinks, planSinks } from '../adapters/postgres/applySinks.ts';
import { connectPool } from '../adapters/postgres/connect.ts';
import { applyDeployments, readContracts, readNeededDefinitions } from '../adapters/postgres/deployments.ts';
import { migrate } from '../adapters/postgres/migrate.ts';
import { applyPolicySet, heldProject, readPolicySet } from '../adapters/postgres/rights/policySets.ts';
import { type Kept, readKept } from '../adapters/postgres/runs/keptByTenant.ts';
import { readTouched, type Touched } from '../adapters/postgres/touchedByDeployment.ts';
import { connectors } from '../connectors/index.ts';
import type { SinkChange } from '../domain/connectors/sinkKind.ts';
import { contractOf } from '../domain/contracts/contract.ts';
import {
  type ContractChange,
  type ContractDifference,
  contractDifference,
} from '../domain/contracts/contractChanges.ts';
import { WaybillError } from '../domain/errors.ts';
import type { Limit } from '../domain/limits.ts';
import { tablesOf } from '../domain/pipelines/outputs.ts';
import type { Retention } from '../domain/pipelines/retention.ts';
import { type PolicySet, policyDifference } from '../domain/policies/policy.ts';
import { type CaseResult, tryCases } from '../domain/policies/policyCases.ts';
import { changesBetween, type PolicyChange } from '../domain/policies/policyChange.ts';
import { type RoleWithoutPermit, rolesWithoutPermit } from '../domain/policies/rolesWithoutPermit.ts';
import type { Definitions } from '../domain/ports/definitions.ts';
import { deploymentOf } from '../domain/ports/deployments.ts';
import { readContractFile, writeContractFile } from '../engine/project/contractFiles.ts';
import { keepDefinitions } from '../engine/project/keptDefinitions.ts';
import { loadProject } from '../engine/project/loadProject.ts';
import { projectName, projectSettings } from '../engine/project/projectName.ts';

export type { StrayName } from '../adapters/policy/names.ts';

/** A folder with pipelines and policies, read and valid. */
export interface Project {
  folder: string;
  name: string;
  definitions: Definitions;
  policies: PolicySet;
  /** For pipelines that say nothing about it. */
  retention: Partial<Retention> | undefined;
  limits: Limit[];
}

/** Throws `DefinitionError` and `PolicyInvalid`. */
export async function readProject(folder: string): Promise<Project> {
  const path = resolve(folder);
  const [definitions, policies] = [await loadProject(path), await readPolicies(path)];
  const [name, settings] = [await projectName(path), await projectSettings(path)];
  return { folder: path, name, definitions, policies, ...settings };
}

/** What in the policies of a project probably is a mistake. */
export interface PolicyWarnings {
  /** Names of pipelines in policies that the project does not have. */
  stray: StrayName[];
  /** Roles that approvals ask and the policies reject. */
  powerless: RoleWithoutPermit[];
}

export interface TestedPolicies extends PolicyWarnings {
  digest: string;
  passed: number;
  failed: number;
  results: CaseResult[];
  /** Policies that decided none of the cases. */
  unexercised: string[];
}

/** Asks the policies of a project the cases of `policies/*.cases.json`. */
export async function testPolicies({ folder, policies, definitions }: Project): Promise<TestedPolicies> {
  const cases = await readCases(folder);
  const engine = createPolicyEngine(policies);
  const ids = Object.keys(policies.policies);
  const tried = tryCases(engine, ids, cases, (id) => definitions.find(id)?.manifest);
  const failed = tried.results.filter(({ wrong }) => wrong !== null).length;
  const warnings = warningsOf({ policies, definitions });
  return { digest: engine.digest, passed: cases.length - failed, failed, ...tried, ...warnings };
}

export interface PolicyPlan extends PolicyWarnings {
  /** Digests; `before` is `null` where no policy is in force. */
  before: string | null;
  after: string;
  policies: { added: string[]; removed: string[]; changed: string[] };
  changes: PolicyChange[];
}

/** The rights that the policies of a project add to, or remove from, those in force in a database. */
export async function planPolicies(
  { policies, definitions }: Project,
  database: DatabaseSettings,
): Promise<PolicyPlan> {
  const live = await withPool(database, readPolicySet);
  const manifests = definitions.list().map(({ manifest }) => manifest);
  const [before, after] = [live && createPolicyEngine(live), createPolicyEngine(policies)];
  const isInForce = before?.digest === after.digest;
  return {
    before: before?.digest ?? null,
    after: after.digest,
    policies: policyDifference(live, policies),
    changes: isInForce ? [] : changesBetween(before, after, manifests, namesIn([live, policies])),
    ...warningsOf({ policies, definitions }),
  };
}

/** Another project that a database holds. */
export interface OtherProject {
  name: string;
  policies: PolicySet | undefined;
}

/** `undefined` where the database holds the project `name`, or a project without a known name. */
export async function otherProject(
  database: DatabaseSettings,
  name: string,
): Promise<OtherProject | undefined> {
  return withPool(database, async (pool) => {
    const held = await heldProject(pool);
    if (held === undefined || held === name) return undefined;
    return { name: held, policies: await readPolicySet(pool) };
  });
}

/** What one pipeline changes: its contract, and what it writes to. */
export interface PipelinePlan {
  pipeline: string;
  file: string;
  version: number;
  /** Against `contracts/<pipeline>.json`; `null` where there is none. */
  recorded: ContractDifference | null;
  /** Against what was applied last; `null` where nothing was. */
  deployed: ContractDifference | null;
  table: string;
  tableChanges: (SinkChange & { table: string })[];
}

/** What the pipelines of a project change, in contracts and in tables. Changes nothing. */
export async function planPipelines(project: Project, database: DatabaseSettings): Promise<PipelinePlan[]> {
  const loaded = project.definitions.list();
  const deployed = await withPool(database, readContracts);
  const sinks = await planSinks(
    addressIn(database),
    loaded.map(({ manifest }) => manifest),
    credentialsIn(database.credentials),
  );
  const plans: PipelinePlan[] = [];
  for (const one of loaded) {
    const { id, version, sink } = one.manifest;
    const now = contractOf(one);
    const [recorded, applied] = [await readContractFile(project.folder, id), deployed.get(id)];
    plans.push({
      pipeline: id,
      file: one.modulePath,
      version,
      recorded: recorded ? contractDifference(recorded, now) : null,
      deployed: applied ? contractDifference(applied, now) : null,
      table: sink.table,
      tableChanges: sinks
        .filter(({ pipeline }) => pipeline === id)
        .flatMap(({ table, changes }) => changes.map((change) => ({ ...change, table }))),
    });
  }
  return plans;
}

export type { Touched };

/** The open runs and the schedules of all tenants that a deployment of the project touches. Changes nothing. */
export function planTouched({ definitions }: Project, database: DatabaseSettings): Promise<Touched[]> {
  return withPool(database, (pool) => readTouched(pool, definitions.list()));
}

/** Why `apply` rejects a pipeline, in one line; `undefined` where it does not. */
export function refusalOf({ recorded, deployed, tableChanges }: PipelinePlan): string | undefined {
  const broken = [recorded, deployed].find((difference) => difference?.refused);
  if (broken) {
    const said = broken.changes.filter(({ breaking }) => breaking).map(changeText);
    return said.length > 0 ? said.join('; ') : 'its version is lower than the one that is recorded';
  }
  const conflicts = tableChanges.filter(({ kind }) => kind === 'conflict');
  const byTable = Map.groupBy(conflicts, ({ table }) => table);
  const texts = [...byTable].map(
    ([table, all]) => `table ${table}: ${all.map(({ message }) => message).join('; ')}`,
  );
  return texts.length > 0 ? texts.join('; ') : undefined;
}

export function changeText({ side, kind, name, message }: ContractChange): string {
  return `${side} ${kind}: ${name} ${message}`;
}

export interface WrittenContracts {
  written: string[];
  unchanged: string[];
  refused: { pipeline: string; difference: ContractDifference }[];
}

/** Records the contract of each pipeline in `contracts/`. One that would break the recorded one without a new version is left. */
export async function writeContracts(
  project: Pick<Project, 'folder' | 'definitions'>,
): Promise<WrittenContracts> {
  const result: WrittenContracts = { written: [], unchanged: [], refused: [] };
  for (const loaded of project.definitions.list()) {
    const { id } = loaded.manifest;
    const now = contractOf(loaded);
    const recorded = await readContractFile(project.folder, id);
    const difference = recorded && contractDifference(recorded, now);
    if (difference?.refused) result.refused.push({ pipeline: id, difference });
    else result[(await writeContractFile(project.folder, now)) ? 'written' : 'unchanged'].push(id);
  }
  return result;
}

export interface AppliedProject extends PolicyWarnings {
  migrations: string[];
  tables: string[];
  /** Whether another retention is in force now. */
  retention: boolean;
  /** Whether other limits of tenants are in force now. */
  limits: boolean;
  policy: { digest: string; before: string | null };
}

export type { Kept, LimitChange, RetentionChange };

/** The limits of tenants that `apply` would change. */
export function planLimits({ limits }: Project, database: DatabaseSettings): Promise<LimitChange[]> {
  return planLimitsOf(addressIn(database), limits);
}

/** What is kept for each tenant. */
export function keptIn(database: DatabaseSettings): Promise<Kept[]> {
  return readKept(addressIn(database));
}

/** How long the runs of which pipelines would be kept, where `apply` changes that. */
export async function planRetention(
  { definitions, retention }: Project,
  database: DatabaseSettings,
): Promise<RetentionChange[]> {
  const manifests = definitions.list().map(({ manifest }) => manifest);
  return planRetentionOf(addressIn(database), manifests, retention);
}

/**
 * Brings the database to this version, creates or widens the tables of the project, and puts its retention and policies in force. Repeating it
 * changes nothing. Throws `ContractBroken` and `SinkIncompatible` before it changes anything, and `DatabaseUnavailable`.
 * @param kept the folder that keeps the code of the definitions, for runs that outlive them
 */
export async function applyProject(
  project: Project,
  database: DatabaseSettings,
  kept?: string,
): Promise<AppliedProject> {
  const { name, definitions, policies, retention, limits } = project;
  const manifests = definitions.list().map(({ manifest }) => manifest);
  const address = addressIn(database);
  await checkPipelines(project, database);
  const migrations = await migrate(address);
  await applySinks(address, manifests, { credentials: credentialsIn(database.credentials) });
  const tables = manifests.flatMap(({ sink }) => (connectors.sink(sink.kind).writer ? tablesOf(sink) : []));
  await applyDeployments(
    address,
    definitions.list().map((one) => deploymentOf(one)),
  );
  if (kept) await keepDefinitions(kept, definitions.list(), await readNeededDefinitions(address));
  const changed = await applyRetention(address, manifests, retention);
  const limited = await applyLimits(address, limits);
  const policy = await applyPolicySet(address, policies, { name, replaces: true });
  return { migrations, tables, retention: changed, limits: limited, policy, ...warningsOf(project) };
}

async function checkPipelines(project: Project, database: DatabaseSettings): Promise<void> {
  const refused = (await planPipelines(project, database)).flatMap((plan) => {
    const why = refusalOf(plan);
    return why === undefined ? [] : [{ plan, why }];
  });
  if (refused.length === 0) return;
  const isBroken = refused.some(({ plan }) => plan.recorded?.refused || plan.deployed?.refused);
  throw new WaybillError(isBroken ? 'ContractBroken' : 'SinkIncompatible', {
    detail: refused.map(({ plan, why }) => `${plan.pipeline} (${plan.file}): ${why}`).join('\n'),
  });
}

/** Where a database is. The password comes from the file, else from `password`, else from the URL. */
export interface DatabaseSettings {
  url: string;
  passwordFile?: string | undefined;
  password?: string | undefined;
  /** The folder with the credentials of shards. */
  credentials?: string | undefined;
}

/**
 * The role that owns the schema `waybill`, and the role that connects; `undefined` where there is no such schema. Only the owner may
 * apply. Throws `DatabaseUnavailable`, and what PostgreSQL says where it rejects the role; `TypeError` where `url` is no URL.
 */
export async function schemaOwner(
  database: DatabaseSettings,
): Promise<{ owner: string; role: string } | undefined> {
  const client = clientAt(addressIn(database), { connectionTimeoutMillis: 10_000 });
  try {
    await client.connect();
    const { rows } = await client.query<{ owner: string; role: string }>(
      `SELECT pg_get_userbyid(nspowner) AS owner, current_user AS role FROM pg_namespace WHERE nspname = 'waybill'`,
    );
    return rows[0];
  } finally {
    await client.end().catch(() => {});
  }
}

function addressIn({ url, passwordFile, password }: DatabaseSettings): DatabaseAddress {
  return addressOf(url, credentialFrom({ file: passwordFile, value: password }));
}

async function withPool<T>(
  database: DatabaseSettings,
  use: (pool: ReturnType<typeof connectPool>) => Promise<T>,
): Promise<T> {
  const pool = connectPool(addressIn(database), { connectionsMax: 1, name: 'waybill-project' });
  try {
    return await use(pool);
  } finally {
    await pool.end();
  }
}

function warningsOf({ policies, definitions }: Pick<Project, 'policies' | 'definitions'>): PolicyWarnings {
  const manifests = definitions.list().map(({ manifest }) => manifest);
  const ids = manifests.map(({ id }) => id);
  return {
    stray: strayNames(policies, ids),
    powerless: rolesWithoutPermit(createPolicyEngine(policies), manifests),
  };
}
