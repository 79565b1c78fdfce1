import type { KnownPrincipal, PrincipalDirectory } from '../../domain/ports/principalDirectory.ts';
import { sql } from '../../domain/sql.ts';
import type { Tenants } from './tenants.ts';

/** Principals that need not be written again. */
const knownMax = 10_000;

/** Each principal is written once for each process, and again where they are of another kind by now. */
export function createPrincipalDirectory(tenants: Tenants): PrincipalDirectory {
  const known = new Set<string>();
  const writing = new Set<Promise<void>>();

  async function write(tenant: string, { id, issuer, subject, kind }: KnownPrincipal): Promise<void> {
    const key = JSON.stringify([tenant, id, kind]);
    if (known.has(key)) return;
    if (known.size >= knownMax) known.clear();
    known.add(key);
    try {
      await tenants.for(tenant).query(
        sql(
          `INSERT INTO waybill.principal AS p (id, issuer, subject, kind) VALUES (:id, :issuer, :subject, :kind)
               ON CONFLICT (tenant, id) DO UPDATE SET kind = EXCLUDED.kind WHERE p.kind <> EXCLUDED.kind`,
          { id, issuer, subject, kind },
          'remember-principal',
        ),
      );
    } catch {
      // A missing name rejects no caller.
      known.delete(key);
    }
  }

  return {
    remember({ tenant, actor, ...principal }) {
      for (const one of [principal, ...(actor ? [actor] : [])]) {
        const written = write(tenant, one).finally(() => writing.delete(written));
        writing.add(written);
      }
    },

    async find(tenant, ids) {
      await Promise.all(writing);
      if (ids.length === 0) return new Map();
      const { rows } = await tenants
        .for(tenant)
        .query<KnownPrincipal>(
          sql(
            'SELECT id, issuer, subject, kind FROM waybill.principal WHERE tenant = :tenant AND id = ANY (:ids)',
            { tenant, ids },
            'find-principals',
          ),
        );
      return new Map(rows.map((one) => [one.id, one]));
    },
  };
}
