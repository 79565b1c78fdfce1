import { auditOf, whoOf } from '../../domain/audit.ts';
import type { DeadLetter, EditForm } from '../../domain/deadLetters/deadLetter.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { StoredLetter } from '../../domain/ports/deadLetters.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { sha256 } from '../sha256.ts';
import { loadValue } from './loadValue.ts';
import { type LetterOutcome, tryLetter } from './tryLetters.ts';

/** A corrected record: JSON, or text in the format of the source. */
export interface Repair {
  form: EditForm;
  text: string;
  /** Of the letter as the caller read it. */
  revision?: number | undefined;
  dryRun?: boolean | undefined;
}

type Ports = Pick<ApplicationPorts, 'deadLetters' | 'definitions' | 'compute' | 'objects'>;

/**
 * Tries a corrected record with the current definition, and keeps it where it fits, beside the bytes that were rejected. Throws
 * `DeadLetterNotOpen`, `DeadLettersChanged`, `PipelineNotFound`, `RepairRejected` with what is still wrong, and what the trial throws.
 */
export async function repairLetter(
  ports: Ports,
  { principal, run, letter, policies, policyDigest, txn }: Authorization,
  { form, text, revision, dryRun = false }: Repair,
): Promise<{ letter: DeadLetter; outcome: LetterOutcome }> {
  const { id, tenant, pipeline: name } = letter!;
  const pipeline = ports.definitions.find(name);
  if (!pipeline) throw new WaybillError('PipelineNotFound');
  const [stored] = await ports.deadLetters.pick(tenant, { ids: [id] }, { limit: 1 });
  if (!stored) throw new WaybillError('DeadLetterNotFound');
  if (stored.state !== 'open' && stored.state !== 'repaired') throw notOpen([stored]);
  if (revision !== undefined && revision !== stored.revision) throw new WaybillError('DeadLettersChanged');

  const [origin] = await ports.deadLetters.findOrigins(tenant, [stored.runId]);
  const bytes = Buffer.from(text);
  const { version, limits } = pipeline.manifest;
  const before = await loadValue(ports, tenant, stored, limits.recordBytes);
  const outcome = await tryLetter(ports, pipeline, origin?.parameters, {
    ...before,
    version,
    edit: { form, bytes },
  });
  if (outcome.kind === 'rejected') {
    const { code, path, message } = outcome;
    throw new WaybillError('RepairRejected', {
      publicDetail: `${code}: ${message}`,
      issues: [
        { path: `/${form}${path && `/${path.replaceAll('.', '/')}`}`, message: `${code}: ${message}` },
      ],
    });
  }
  if (dryRun) return { letter: letter!, outcome };
  const detail = { version, policies, policyDigest };
  const audit = auditOf({ principal, runId: run!.id, txn }, 'dead-letter.repaired', detail);
  const edit = {
    ...{ id, revision: stored.revision, form, bytes, version },
    before: sha256(before.edit?.bytes ?? before.raw ?? ''),
    after: sha256(bytes),
  };
  const kept = await ports.deadLetters.repair(tenant, [edit], whoOf(principal), audit);
  if (kept.length === 0) throw new WaybillError('DeadLettersChanged');
  return { letter: (await ports.deadLetters.find(tenant, id))!, outcome };
}

/** Names of each letter where it is. */
export function notOpen(letters: readonly Pick<StoredLetter, 'id' | 'state' | 'redriveRun'>[]): WaybillError {
  return new WaybillError('DeadLetterNotOpen', {
    issues: letters.slice(0, issuesMax).map(({ id, state, redriveRun }) => ({
      path: id,
      message:
        state === 'redriving'
          ? `Run ${redriveRun} has it.`
          : `It is ${state}${redriveRun ? ` by run ${redriveRun}` : ''}.`,
    })),
    issueCount: letters.length,
  });
}

const issuesMax = 100;
