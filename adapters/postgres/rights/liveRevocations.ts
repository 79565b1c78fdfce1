import type { Client } from 'pg';
import { WaybillError } from '../../../domain/errors.ts';
import type { Revocations } from '../../../domain/ports/revocations.ts';
import { type StandingRevocation, voids } from '../../../domain/revocation.ts';
import { sql } from '../../../domain/sql.ts';
import { ageMaxMs, keepCurrent, type LiveCopy, type LiveCopyOptions } from '../cachedQuery.ts';

/** About 100 MB. With more, nothing can be known for sure, and so nothing goes on. */
const standingMax = 250_000;

/**
 * All revocations that stand, of all tenants, in memory and by what they are about, so that asking costs next to nothing.
 * Read completely once, then by what has changed: everything written by a transaction that had not ended when the copy
 * was read last. Where the database is suddenly an older one (a restored backup), it is read completely again.
 *
 * `refresh` resolves once all is known that was committed before the call, and throws `RevocationsUnavailable` where that takes 4 s.
 */
export function watchRevocations(
  options: Pick<LiveCopyOptions, 'database' | 'onError'>,
): Revocations & Pick<LiveCopy, 'ready' | 'close'> & { refresh(): Promise<void> } {
  let standing = new Map<string, StandingRevocation>();
  let byTarget = new Map<string, Set<StandingRevocation>>();
  let horizon: bigint | undefined;

  async function read(client: Client): Promise<void> {
    const seen = await changesSince(client, horizon);
    if (horizon !== undefined && seen.horizon < horizon) {
      horizon = undefined;
      return read(client);
    }
    if (horizon === undefined) {
      standing = new Map();
      byTarget = new Map();
    }
    for (const row of seen.rows) replace(row);
    if (standing.size > standingMax) throw new Error(`more than ${standingMax} revocations stand`);
    horizon = seen.horizon;
  }

  function replace({ lifted, ...revocation }: ChangedRow): void {
    const before = standing.get(revocation.id);
    if (before) byTarget.get(before.target)?.delete(before);
    if (lifted) {
      standing.delete(revocation.id);
      if (byTarget.get(revocation.target)?.size === 0) byTarget.delete(revocation.target);
      return;
    }
    standing.set(revocation.id, revocation);
    byTarget.set(revocation.target, (byTarget.get(revocation.target) ?? new Set()).add(revocation));
  }

  const copy = keepCurrent({ ...options, channel: 'waybill_revocation', read });

  return {
    find(credential) {
      if (copy.ageMs() > ageMaxMs) throw new WaybillError('RevocationsUnavailable');
      const { principals, grants = [], key, delegation } = credential;
      for (const target of [...principals, ...grants, key, delegation]) {
        if (target === undefined) continue;
        for (const revocation of byTarget.get(target) ?? []) {
          if (voids(revocation, credential)) return revocation;
        }
      }
      return undefined;
    },
    async refresh() {
      if (!(await copy.refresh())) throw new WaybillError('RevocationsUnavailable');
    },
    ready: copy.ready,
    close: copy.close,
  };
}

type ChangedRow = StandingRevocation & { lifted: boolean };

/** With an empty `horizon` all that stand; the new horizon is what the same snapshot says is not over yet. */
async function changesSince(
  client: Client,
  horizon: bigint | undefined,
): Promise<{ horizon: bigint; rows: ChangedRow[] }> {
  const { rows } = await client.query<
    Omit<ChangedRow, 'issuedUntil'> & { horizon: string; issuedUntil: Date | null }
  >(
    sql(
      `
      SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon, r.id, r.kind, r.target, r.tenant,
             r.issued_until AS "issuedUntil", r.lifted_at IS NOT NULL AS lifted
      FROM (SELECT) now LEFT JOIN waybill.revoked r
        ON r.changed >= coalesce(:horizon::text, '0')::xid8 AND (r.lifted_at IS NULL OR :horizon::text IS NOT NULL)`,
      { horizon: horizon?.toString() ?? null },
      'revocations-changed',
    ),
  );
  return {
    horizon: BigInt(rows[0]!.horizon),
    rows: rows
      .filter(({ id }) => id !== null)
      .map(({ id, kind, target, tenant, issuedUntil, lifted }) => ({
        id,
        kind,
        target,
        tenant,
        issuedUntil: issuedUntil?.toISOString() ?? null,
        lifted,
      })),
  };
}
