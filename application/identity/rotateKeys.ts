import { type AuditEvent, whoOf } from '../../domain/audit.ts';
import type { GrantKey, GrantKeyState } from '../../domain/grants/grantKey.ts';
import type { WebhookRoot } from '../../domain/webhooks/webhookKey.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';

/** Adds a key that soon takes the place of the one that signs grants. While one is on its way, it is the answer. */
export async function rotateGrantKeys(
  { grantKeys }: Pick<ApplicationPorts, 'grantKeys'>,
  authorization: Authorization,
): Promise<GrantKey & { state: GrantKeyState }> {
  return grantKeys.rotate(byOf(authorization));
}

/** Adds a key that signs events, beside the one before for a week. Within that week the newest is the answer. */
export async function rotateWebhookKeys(
  { webhookKeys, auditLog }: Pick<ApplicationPorts, 'webhookKeys' | 'auditLog'>,
  authorization: Authorization,
): Promise<WebhookRoot> {
  const root = await webhookKeys.rotate();
  const { detail, ...by } = byOf(authorization);
  const event = { action: 'webhook-key.rotated', outcome: 'success', runId: null } as const;
  await auditLog.append({ ...event, ...by, detail: { key: root.id, ...detail } });
  return root;
}

function byOf({ principal, txn, policies, policyDigest }: Authorization) {
  const detail: AuditEvent['detail'] = { policies, policyDigest };
  return { tenant: principal.tenant, actor: whoOf(principal), txn, detail };
}
