import { auditOf, whoOf } from '../../domain/audit.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { type Choice, chosenLetters, pipelineOfLetters } from './chooseLetters.ts';

type Ports = Pick<ApplicationPorts, 'deadLetters' | 'runs' | 'definitions' | 'policy' | 'auditLog'>;

/**
 * Gives open dead letters up for good, page by page; what was done before a failure stays. With `dryRun` it only counts. Throws
 * `Forbidden`, `DeadLetterNotFound`, `DeadLetterNotOpen`.
 */
export async function discardLetters(
  ports: Ports,
  authorization: Authorization,
  { choice, reason, dryRun = false }: { choice: Choice; reason: string; dryRun?: boolean | undefined },
): Promise<{ letters: number }> {
  const { principal, policies, policyDigest, txn } = authorization;
  await pipelineOfLetters(ports, authorization, choice);
  let discarded = 0;
  for await (const { letters } of chosenLetters(ports, authorization, 'discard', choice)) {
    if (dryRun) {
      discarded += letters.length;
      continue;
    }
    const detail = { policies, policyDigest };
    // The letters of a page may be of several runs; each event is of one.
    for (const [runId, ofRun] of Map.groupBy(letters, (letter) => letter.runId)) {
      const audit = auditOf({ principal, runId, txn }, 'dead-letter.discarded', detail);
      const ids = await ports.deadLetters.discard(principal.tenant, ofRun, whoOf(principal), reason, audit);
      discarded += ids.length;
    }
  }
  return { letters: discarded };
}
