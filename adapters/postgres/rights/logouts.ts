import { createHash } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import type { LogoutRecords } from '../../../domain/ports/logouts.ts';
import { sql } from '../../../domain/sql.ts';
import { insertAudit } from '../audit.ts';
import type { Tenants } from '../tenants.ts';
import { insertRevocation } from './revocations.ts';

/** Much longer than a logout token may be old. */
const rememberedFor = '1 hour';
/** No grant and no access token that was issued so long ago is good by itself any more: a deadline is at most 366 d. */
const outlivesAll = '400 days';

/** What was seen, what follows from it and its audit event commit together, so that a token which failed may come again. */
export function createLogoutRecords(tenants: Tenants): LogoutRecords {
  return {
    record({ issuer, principal, issuedAtS, tokenId }, txn) {
      return tenants.for(null).transaction(async (client) => {
        const digest = createHash('sha256').update(`${issuer}\0${tokenId}`).digest('hex');
        const { rowCount } = await client.query(
          sql('INSERT INTO waybill.logout_token (digest) VALUES (:digest) ON CONFLICT DO NOTHING', {
            digest,
          }),
        );
        if (rowCount === 0) return false;
        await client.query(forget);
        const issuedUntil = new Date(issuedAtS * 1000).toISOString();
        await insertRevocation(client, `rev_${uuidv7()}`, {
          kind: 'principal',
          target: principal,
          tenant: null,
          issuedUntil,
          reason: null,
          revokedBy: null,
        });
        await insertAudit(client, {
          action: 'principal.signed-out',
          outcome: 'success',
          tenant: null,
          actor: null,
          runId: null,
          txn,
          detail: { principal, issuer, issuedUntil },
        });
        return true;
      });
    },
  };
}

/** So that neither grows for ever; who has signed out is in the memory of each process. */
const forget = `
  WITH seen AS (DELETE FROM waybill.logout_token WHERE seen_at < now() - interval '${rememberedFor}')
  UPDATE waybill.revocation SET lifted_at = now(), changed = pg_current_xact_id()
  WHERE tenant IS NULL AND kind = 'principal' AND lifted_at IS NULL
    AND issued_until < now() - interval '${outlivesAll}'`;
