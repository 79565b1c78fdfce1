import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import { runResourceOf } from '../../domain/policies/policy.ts';
import type { AuditTrail } from '../../domain/ports/audit.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { mayReadRun } from '../readable.ts';
import { loadValue } from './loadValue.ts';

/** The largest record that is shown. */
const shownBytesMax = 1024 * 1024;

/** What was rejected, and what it was edited to: text where the bytes are UTF-8, else base64. */
export interface RevealedValue {
  raw: { text: string } | { base64: string } | { tooLarge: true };
  edit: { form: 'record' | 'raw'; text: string } | null;
  header: readonly string[] | null;
}

/** The value of a letter for a caller who may reveal it, audited before it is shown; `null` for any other. */
export async function revealLetter(
  ports: Pick<ApplicationPorts, 'deadLetters' | 'objects' | 'policy' | 'auditLog'>,
  { principal, run, letter, txn }: Pick<Authorization, 'principal' | 'run' | 'letter' | 'txn'>,
): Promise<RevealedValue | null> {
  const { id, tenant } = letter!;
  const decision = ports.policy.decide({ principal, action: 'reveal', resource: runResourceOf(run!) });
  if (!decision.allowed) return null;
  const [stored] = await ports.deadLetters.pick(tenant, { ids: [id] }, { limit: 1 });
  if (!stored) throw new WaybillError('DeadLetterNotFound');
  const { raw } = await loadValue(ports, tenant, { ...stored, edit: null }, shownBytesMax);
  const detail = { letter: id, policies: decision.policies, policyDigest: decision.digest };
  await ports.auditLog.append(auditOf({ principal, runId: run!.id, txn }, 'dead-letter.revealed', detail));
  const { edit, header } = stored;
  return {
    raw: raw ? textOf(raw) : { tooLarge: true },
    edit: edit && { form: edit.form, text: Buffer.from(edit.bytes).toString() },
    header,
  };
}

function textOf(bytes: Uint8Array): RevealedValue['raw'] {
  try {
    return { text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes) };
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') };
  }
}

/**
 * The chain of one letter in the audit, oldest first: rejection, edits, redrives with their approval, and the step that stored its row.
 * Redrives that the caller may not read are left out. Throws `DatabaseUnavailable`.
 */
export async function listHistory(
  { auditTrail, deadLetters, policy }: Pick<ApplicationPorts, 'auditTrail' | 'deadLetters' | 'policy'>,
  { principal, letter }: Pick<Authorization, 'principal' | 'letter'>,
  page: Parameters<AuditTrail['listOfLetter']>[2],
): ReturnType<AuditTrail['listOfLetter']> {
  const { id, tenant, runId: origin, redriveRuns } = letter!;
  const runs = await deadLetters.findOrigins(tenant, redriveRuns);
  const redrives = runs.filter((run) => mayReadRun(policy, principal, run)).map((run) => run.id);
  return auditTrail.listOfLetter(tenant, { letter: id, origin, redrives }, page);
}
