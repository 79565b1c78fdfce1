import { createHash, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { openKeyFolder } from '../../../adapters/keys/keyFolder.ts';
import { signGrant } from '../../../adapters/keys/signGrant.ts';
import {
  type DecisionClaims,
  type DecisionMessage,
  decisionType,
} from '../../../domain/approvals/decision.ts';
import { canonicalJson } from '../../../domain/canonicalJson.ts';
import { principalId } from '../../../domain/principal.ts';
import type { DevStack } from '../../support/devStack.ts';

export interface ShownApprovalRow {
  id: string;
  tenant: string;
  run_id: string;
  state: string;
  digest: string;
  round: number;
  shown: Record<string, unknown>;
  expires_at: Date;
}

/** The newest approval of a run, as its record has it. */
export async function approvalOf(
  database: pg.Pool | pg.Client,
  runId: string,
): Promise<ShownApprovalRow | undefined> {
  const { rows } = await database.query(
    'SELECT * FROM waybill.approval WHERE run_id = $1 ORDER BY round DESC LIMIT 1',
    [runId],
  );
  return rows[0];
}

/** What the API would sign for a person of the embedded stack, with anything in it changed. */
export function claimsOf(
  stack: DevStack,
  issuer: string,
  approval: ShownApprovalRow,
  who: { name: string; roles: readonly string[] },
  vote: 'approve' | 'reject',
  change: Partial<Omit<DecisionClaims, 'tctx'>> & { tctx?: Partial<DecisionClaims['tctx']> } = {},
): DecisionClaims {
  const nowS = Math.floor(Date.now() / 1000);
  const iss = stack.info().issuerUrl;
  return {
    iss: issuer,
    aud: 'waybill',
    iat: nowS,
    exp: Math.ceil(approval.expires_at.getTime() / 1000),
    jti: randomUUID(),
    txn: '0af7651916cd43dd8448eb211c80319c',
    sub: principalId(iss, who.name),
    req: { iss, sub: who.name, iat: nowS, kind: 'person', roles: [...who.roles] },
    ...change,
    tctx: {
      tenant: approval.tenant,
      namespace: 'default',
      workflowId: approval.run_id,
      approval: approval.id,
      shownDigest: approval.digest,
      vote,
      detailDigest: detailDigestOf({ comment: null, form: null }),
      ...change.tctx,
    },
  };
}

export function detailDigestOf(detail: Pick<DecisionMessage, 'comment' | 'form'>): string {
  return createHash('sha256').update(canonicalJson(detail)).digest('hex');
}

/** Signs as the API of the stack would; an owner of this machine can read its key. */
export async function signerOf({
  home,
}: DevStack): Promise<(claims: object, typ?: string) => Promise<string>> {
  const [key] = await (await openKeyFolder(join(home, 'keys', 'grants'))).read();
  return (claims, typ = decisionType) => signGrant(claims, key!, typ);
}

/** `iss` of what the stack signs. */
export async function instanceOf({ home }: DevStack): Promise<string> {
  return `urn:waybill:${(await readFile(join(home, 'instance'), 'utf8')).trim()}`;
}
