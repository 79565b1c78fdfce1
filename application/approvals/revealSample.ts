import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';

/** Some of the rows that would be published, by column, as texts that PostgreSQL reads. Audited before it is shown. */
export async function revealSample(
  { objects, auditLog }: Pick<ApplicationPorts, 'objects' | 'auditLog'>,
  { principal, run, approval, policies, policyDigest, txn }: Authorization,
): Promise<Record<string, string | null>[]> {
  const { id, sample } = approval!;
  if (!sample) throw new WaybillError('SampleNotFound');
  const bytes = await objects.get({ tenant: run!.tenant, runId: run!.id }, sample.digest).catch((error) => {
    // What was staged goes with the end of the run.
    if (error.code === 'BatchNotFound') throw new WaybillError('SampleNotFound');
    throw error;
  });
  const detail = { approval: id, sample: sample.digest, rows: sample.rows, policies, policyDigest };
  await auditLog.append(auditOf({ principal, runId: run!.id, txn }, 'approval.sample-revealed', detail));
  return JSON.parse(Buffer.from(bytes).toString());
}
