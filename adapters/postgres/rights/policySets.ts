import type { ClientBase } from 'pg';
import { type PolicySet, policyDifference } from '../../../domain/policies/policy.ts';
import { jsonParam, sql } from '../../../domain/sql.ts';
import { policyDigest } from '../../policy/digest.ts';
import type { DatabaseAddress } from '../address.ts';
import { insertMigratorAudit } from '../audit.ts';
import { connectPool, inTransaction } from '../connect.ts';
import { fromPostgres } from '../failure.ts';

/** NOTIFY of this brings a new set to every process at once. */
export const policyChannel = 'waybill_policy';

/** A set as it was applied, with the digest that it had then. */
export interface AppliedSet extends PolicySet {
  digest: string;
}

/**
 * Puts a set in force, as the migrator, says so in the audit, and wakes the runs that the set before has suspended: one
 * transaction. A set that is in force already changes nothing. Whether it validates is for the caller to know. Resolves with
 * the digest of the set before too, if there was one. The set is recorded as of `project` if that `replaces`, or is the
 * first; otherwise the project that the database holds stays.
 */
export async function applyPolicySet(
  migrator: DatabaseAddress,
  set: PolicySet,
  project?: { name: string; replaces: boolean },
): Promise<{ digest: string; before: string | null }> {
  const digest = policyDigest(set);
  const pool = connectPool(migrator, { connectionsMax: 1, name: 'waybill-apply' });
  try {
    return await inTransaction(pool, async (client) => {
      // Two who apply at once come one after the other.
      await client.query('LOCK TABLE waybill.policy_set IN SHARE ROW EXCLUSIVE MODE');
      const before = await newest(client);
      const held = before && (await newestProject(client));
      const recorded = (project && (project.replaces || !before) ? project.name : held) ?? null;
      const isInForce = before?.digest === digest;
      if (isInForce && recorded === (held ?? null)) return { digest, before: digest };
      await client.query(
        sql(
          'INSERT INTO waybill.policy_set (digest, policies, roles, project) VALUES (:digest, :policies, :roles, :recorded)',
          { digest, policies: jsonParam(set.policies), roles: jsonParam(set.roles), recorded },
        ),
      );
      // The same policies under another name: nothing is decided otherwise.
      if (isInForce) return { digest, before: digest };
      await insertMigratorAudit(client, {
        action: 'policy.applied',
        detail: {
          digest,
          before: before?.digest ?? null,
          ...policyDifference(before, set),
          roles: set.roles,
        },
      });
      // What was denied by the set before asks again; which of it may go on now, only the policy knows.
      await client.query(
        sql(`SELECT waybill.recheck_suspended('PolicyDenied'), pg_notify(:policyChannel, :digest)`, {
          policyChannel,
          digest,
        }),
      );
      return { digest, before: before?.digest ?? null };
    });
  } finally {
    await pool.end();
  }
}

/** The set in force, or `known` where it still is that one; `undefined` where none was ever applied. */
export async function readPolicySet(
  client: Pick<ClientBase, 'query'>,
  known?: AppliedSet,
): Promise<AppliedSet | undefined> {
  try {
    const { rows } = await client.query<{ digest: string }>({
      name: 'newest-policy-digest',
      text: 'SELECT digest FROM waybill.policy_set ORDER BY id DESC LIMIT 1',
    });
    return known && rows[0]?.digest === known.digest ? known : await newest(client);
  } catch (error) {
    throw fromPostgres(error);
  }
}

/** The project that the database holds, also of a database of an older version; `undefined` where that is not known. */
export async function heldProject(client: Pick<ClientBase, 'query'>): Promise<string | undefined> {
  const { rows } = await client.query<{ exists: boolean }>(
    `SELECT to_regclass('waybill.policy_set') IS NOT NULL AS exists`,
  );
  return rows[0]!.exists ? await newestProject(client) : undefined;
}

/** Reads the column through JSON, because a database of an older version has none. */
async function newestProject(client: Pick<ClientBase, 'query'>): Promise<string | undefined> {
  const { rows } = await client.query<{ project: string | null }>(
    `SELECT to_jsonb(s) ->> 'project' AS project FROM waybill.policy_set s ORDER BY id DESC LIMIT 1`,
  );
  return rows[0]?.project ?? undefined;
}

async function newest(client: Pick<ClientBase, 'query'>): Promise<AppliedSet | undefined> {
  const { rows } = await client.query<AppliedSet>(
    'SELECT digest, policies, roles FROM waybill.policy_set ORDER BY id DESC LIMIT 1',
  );
  return rows[0];
}
