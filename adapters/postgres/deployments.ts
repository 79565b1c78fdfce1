import type { ClientBase } from 'pg';
import type { Contract } from '../../domain/contracts/contract.ts';
import type { Deployment, Deployments, Refusal } from '../../domain/ports/deployments.ts';
import { jsonParam, sql } from '../../domain/sql.ts';
import { clientAt, type DatabaseAddress } from './address.ts';
import { insertMigratorAudit } from './audit.ts';
import { connectPool, inTransaction } from './connect.ts';
import type { Tenants } from './tenants.ts';

export function createDeployments(tenants: Tenants): Deployments {
  return {
    async findRefusal(tenant, pipeline, definitionDigest) {
      // As the tenant of the queries after it: another one would cost a connection two questions more.
      const { rows } = await tenants.for(tenant).query<{ refusal: Refusal }>(
        sql(
          `SELECT refusal FROM waybill.deployment
           WHERE pipeline = :pipeline AND definition_digest = :definitionDigest AND refusal IS NOT NULL`,
          { pipeline, definitionDigest },
          'find-refusal',
        ),
      );
      return rows[0]?.refusal;
    },
    async isApplied(pipeline, definitionDigest) {
      const { rowCount } = await tenants
        .for(null)
        .query(
          sql(
            'SELECT FROM waybill.deployment WHERE pipeline = :pipeline AND definition_digest = :definitionDigest',
            { pipeline, definitionDigest },
            'is-applied',
          ),
        );
      return rowCount === 1;
    },
  };
}

/** Records what was applied, as the migrator. What is as it was changes nothing. */
export async function applyDeployments(
  migrator: DatabaseAddress,
  deployments: readonly Deployment[],
): Promise<void> {
  const pool = connectPool(migrator, { connectionsMax: 1, name: 'waybill-deployments' });
  try {
    await inTransaction(pool, async (client) => {
      await client.query('LOCK TABLE waybill.deployment IN SHARE ROW EXCLUSIVE MODE');
      for (const one of deployments) await applyOne(client, one);
    });
  } finally {
    await pool.end();
  }
}

async function applyOne(client: ClientBase, deployment: Deployment): Promise<void> {
  const { pipeline, version, definitionDigest, contract, refusal } = deployment;
  const { rowCount } = await client.query(
    sql(
      `INSERT INTO waybill.deployment AS d (pipeline, version, definition_digest, contract, refusal)
       VALUES (:pipeline, :version, :definitionDigest, :contract, :refusal)
       ON CONFLICT (pipeline) DO UPDATE SET version = excluded.version, definition_digest = excluded.definition_digest,
         contract = excluded.contract, refusal = excluded.refusal, applied_at = now()
       WHERE (d.version, d.definition_digest, d.contract, d.refusal)
         IS DISTINCT FROM (excluded.version, excluded.definition_digest, excluded.contract, excluded.refusal)`,
      {
        ...{ pipeline, version, definitionDigest },
        ...{ contract: jsonParam(contract), refusal: refusal ? jsonParam(refusal) : null },
      },
    ),
  );
  if (rowCount === 0) return;
  const { rows } = await client.query<{ role: string }>('SELECT session_user AS role');
  await insertMigratorAudit(client, {
    action: refusal ? 'pipeline.refused' : 'pipeline.applied',
    outcome: refusal ? 'failure' : 'success',
    detail: { pipeline, version, definitionDigest, role: rows[0]!.role, ...refusal },
  });
}

/** The contract of each pipeline as it was applied last; none in a database of an older version. */
export async function readContracts(client: Pick<ClientBase, 'query'>): Promise<Map<string, Contract>> {
  const { rows: tables } = await client.query<{ exists: boolean }>(
    `SELECT to_regclass('waybill.deployment') IS NOT NULL AS exists`,
  );
  if (!tables[0]!.exists) return new Map();
  const { rows } = await client.query<{ pipeline: string; contract: Contract }>(
    'SELECT pipeline, contract FROM waybill.deployment WHERE refusal IS NULL',
  );
  return new Map(rows.map(({ pipeline, contract }) => [pipeline, contract]));
}

/** The digests of the definitions that runs which have not ended were accepted with. Throws what `pg` throws. */
export async function readNeededDefinitions(migrator: DatabaseAddress): Promise<ReadonlySet<string>> {
  const client = clientAt(migrator, { application_name: 'waybill-definitions' });
  try {
    await client.connect();
    const { rows } = await client.query<{ definition_digest: string }>(
      'SELECT DISTINCT definition_digest FROM waybill.run WHERE ended_at IS NULL',
    );
    return new Set(rows.map((row) => row.definition_digest));
  } finally {
    await client.end();
  }
}
