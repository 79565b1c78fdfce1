import { auditOf, whoOf } from '../../domain/audit.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { LetterValue } from '../../domain/deadLetters/deadLetter.ts';
import { applyRule, type EditRule } from '../../domain/deadLetters/editRule.ts';
import { writeExactJson } from '../../domain/json/parseExactJson.ts';
import type { LetterOrigin, StoredLetter } from '../../domain/ports/deadLetters.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { RecordRejection } from '../../domain/runs/rejection.ts';
import type { Authorization } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { sha256 } from '../sha256.ts';
import { type Choice, chosenLetters, pipelineOfLetters } from './chooseLetters.ts';
import { loadValue } from './loadValue.ts';
import { tryLetters } from './tryLetters.ts';

/** So many letters one request edits; the caller asks for the next ones with the cursor. */
const stepMax = 500;

export interface RuleOutcome {
  /** Letters that the step looked at. */
  letters: number;
  /** How many of them fit now, and are kept where it is no dry run. */
  repaired: number;
  /** To how many the rule does not apply: a field is not there, or the record cannot be read at all. */
  untouched: number;
  /** Why the others still do not fit, the most frequent first. */
  failing: { code: string; path: string; letters: number; example: string }[];
  nextCursor: string | null;
}

type Ports = Pick<
  ApplicationPorts,
  'deadLetters' | 'runs' | 'definitions' | 'policy' | 'auditLog' | 'compute' | 'objects' | 'readLetter'
>;

/**
 * Edits many open letters of one pipeline by one rule, step by step. Each edited record is tried as a single edit is, and kept only where
 * it fits. Throws what `chosenLetters` and the trial throw.
 */
export async function repairByRule(
  ports: Ports,
  authorization: Authorization,
  {
    choice,
    rule,
    dryRun,
    cursor,
  }: { choice: Choice; rule: EditRule; dryRun: boolean; cursor?: string | undefined },
): Promise<RuleOutcome> {
  const pipeline = await pipelineOfLetters(ports, authorization, choice);
  const outcome: RuleOutcome = { letters: 0, repaired: 0, untouched: 0, failing: [], nextCursor: null };
  const step = { after: cursor, max: stepMax };
  for await (const { letters, origins } of chosenLetters(ports, authorization, 'repair', choice, step)) {
    outcome.letters += letters.length;
    if (letters.length === stepMax) outcome.nextCursor = letters.at(-1)!.cursor;
    for (const [, some] of Map.groupBy(letters, ({ runId }) => parametersOf(origins, runId)))
      await repairSome(ports, authorization, { pipeline, rule, dryRun, letters: some, origins }, outcome);
  }
  outcome.failing.sort((a, b) => b.letters - a.letters);
  return outcome;
}

interface Edited {
  letter: StoredLetter;
  before: LetterValue;
  value: LetterValue;
}

async function repairSome(
  ports: Ports,
  { principal, policies, policyDigest, txn }: Authorization,
  step: {
    pipeline: LoadedPipeline;
    rule: EditRule;
    dryRun: boolean;
    letters: readonly StoredLetter[];
    origins: ReadonlyMap<string, LetterOrigin>;
  },
  outcome: RuleOutcome,
): Promise<void> {
  const { pipeline, rule, letters, origins, dryRun } = step;
  const edited: Edited[] = [];
  for (const letter of letters) {
    const before = await loadValue(ports, principal.tenant, letter, pipeline.manifest.limits.recordBytes);
    const record = await ports.readLetter(pipeline, before);
    if (!record || !applyRule(rule, record)) outcome.untouched++;
    else {
      // It stays of its version, so that an upgrade still applies to it.
      const edit = { form: 'record' as const, bytes: Buffer.from(writeExactJson(record)) };
      edited.push({ letter, before, value: { ...before, edit } });
    }
  }
  const { parameters } = origins.get(letters[0]!.runId)!;
  const values = edited.map(({ value }) => value);
  const { rejections } = await tryLetters(ports, pipeline, parameters, values);
  for (const [position, rejection] of rejections) count(outcome, rejection, edited[position]!.letter.id);
  const fitting = edited.filter((_, position) => !rejections.has(position));
  outcome.repaired += dryRun ? fitting.length : 0;
  if (dryRun) return;
  const detail = { rule: sha256(canonicalJson(rule)), policies, policyDigest };
  for (const [runId, ofRun] of Map.groupBy(fitting, ({ letter }) => letter.runId)) {
    const edits = ofRun.map(({ letter, before, value }) => ({
      ...{ id: letter.id, revision: letter.revision, version: value.version, ...value.edit! },
      before: sha256(before.edit?.bytes ?? before.raw ?? ''),
      after: sha256(value.edit!.bytes),
    }));
    const audit = auditOf({ principal, runId, txn }, 'dead-letter.repaired', detail);
    const kept = await ports.deadLetters.repair(principal.tenant, edits, whoOf(principal), audit);
    outcome.repaired += kept.length;
  }
}

function parametersOf(origins: ReadonlyMap<string, LetterOrigin>, runId: string): string {
  return canonicalJson(origins.get(runId)?.parameters ?? {});
}

function count({ failing }: RuleOutcome, { code, path }: RecordRejection, example: string): void {
  const known = failing.find((one) => one.code === code && one.path === path);
  if (known) known.letters++;
  else failing.push({ code, path, letters: 1, example });
}
