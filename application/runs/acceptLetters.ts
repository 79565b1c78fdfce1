import { canonicalJson } from '../../domain/canonicalJson.ts';
import { writeLetterLine } from '../../domain/deadLetters/letterLine.ts';
import { burstOf, leastMsOf } from '../../domain/deadLetters/throttle.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Run } from '../../domain/runs/run.ts';
import { lettersKind } from '../../domain/sources/source.ts';
import { type Choice, chosenLetters } from '../deadLetters/chooseLetters.ts';
import { loadValue } from '../deadLetters/loadValue.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { forget, scopeOf } from './acceptEnvelope.ts';
import { checkLimits } from './checkLimits.ts';
import { requestDigestOf, sameRun } from './idempotency.ts';
import { checkParameters } from './parameters.ts';
import { acceptanceOf, draftRun, mintGrant, type RunCaller, type RunDraft } from './runDraft.ts';

/** What a redrive asks for. */
export interface LettersRequest {
  choice: Choice;
  /** Default: those of the runs that rejected the records, which must agree. */
  parameters?: unknown;
  /** Records in a time, such as `50/s`. */
  throttle?: string | undefined;
  reason?: string | undefined;
  bodyDigest: string;
  idempotencyKey: string | undefined;
}

type Ports = Pick<
  ApplicationPorts,
  | 'acceptance'
  | 'receiver'
  | 'objects'
  | 'policy'
  | 'grantSigner'
  | 'deadLetters'
  | 'runs'
  | 'definitions'
  | 'auditLog'
  | 'limits'
  | 'limitedRates'
>;

/**
 * Accepts a run of dead letters: draft, receive, mint, accept. The letters become the run’s in the transaction that accepts it,
 * and its grant is bound to their lines. Throws `NoOpenDeadLetters`, `DeadLetterNotOpen`, `DeadLettersChanged`, `ParametersDiffer`.
 */
export async function acceptLetters(
  ports: Ports,
  options: ApplicationOptions,
  caller: RunCaller,
  { choice, parameters, throttle, reason, bodyDigest, idempotencyKey }: LettersRequest,
): Promise<Run> {
  const begun = draftRun(caller, idempotencyKey, { parameters: {}, source: { kind: lettersKind } });
  const requestDigest = requestDigestOf(begun, 'application/json', null, `letters ${bodyDigest}`);
  const known = begun.idempotency && (await ports.acceptance.findKey(begun.idempotency));
  if (known) return sameRun(known, requestDigest);
  await checkLimits(ports, caller, 'openDeadLetters');

  const chosen: Chosen = { letters: [], parameters: new Map() };
  const batches = await receive(ports, begun, { choice, throttle }, chosen);
  try {
    if (throttle !== undefined) checkThrottle(begun, throttle, chosen.letters.length);
    const draft: RunDraft = {
      ...begun,
      parameters: await checkParameters(caller.pipeline, parameters ?? parametersOf(chosen)),
      source: {
        kind: lettersKind,
        letters: chosen.letters.length,
        ...(throttle !== undefined && { throttle }),
      },
    };
    const minted = await mintGrant(ports, options, draft, { batches });
    const acceptance = acceptanceOf(draft, minted, { batches, sealed: true, requestDigest });
    const detail = { ...acceptance.audit.detail, letters: chosen.letters.length, ...(reason && { reason }) };
    const accepted = await ports.acceptance.accept({
      ...acceptance,
      letters: chosen.letters,
      audit: { ...acceptance.audit, detail },
    });
    if (accepted.outcome === 'accepted') return accepted.run;
    await forget(ports, begun, batches);
    return sameRun(accepted.known, requestDigest);
  } catch (error) {
    // Nothing committed: these say so.
    const code = error instanceof WaybillError ? error.code : undefined;
    if (code !== undefined && leavesNothing.has(code)) await forget(ports, begun, batches);
    throw error;
  }
}

const leavesNothing: ReadonlySet<string> = new Set([
  'DeadLettersChanged',
  'InvalidRequest',
  'ParametersDiffer',
  'ParametersInvalid',
]);

/** A redrive that cannot end in time is not begun. Throws `InvalidRequest`. */
export function checkThrottle(
  { pipeline }: Pick<RunCaller, 'pipeline'>,
  throttle: string,
  letters: number,
): void {
  const { deadlineMs } = pipeline.manifest;
  const leastMs = leastMsOf(throttle, letters);
  if (leastMs <= deadlineMs) return;
  const message =
    `${letters} records at ${throttle} take ${Math.ceil(leastMs / 1_000)} s, and a run of the pipeline may take ` +
    `${Math.floor(deadlineMs / 1_000)} s. Send fewer of them, or a higher throttle.`;
  throw new WaybillError('InvalidRequest', { issues: [{ path: '/throttle', message }] });
}

interface Chosen {
  letters: { id: string; revision: number }[];
  /** Of the runs that rejected them, by their canonical text. */
  parameters: Map<string, unknown>;
}

async function receive(
  ports: Ports,
  draft: RunDraft,
  { choice, throttle }: Pick<LettersRequest, 'choice' | 'throttle'>,
  chosen: Chosen,
): Promise<Batch[]> {
  const { limits } = draft.pipeline.manifest;
  const { tenant } = draft.principal;
  async function* lines(): AsyncGenerator<Uint8Array> {
    for await (const { letters, origins } of chosenLetters(ports, draft, 'redrive', choice)) {
      for (const letter of letters) {
        const { parameters } = origins.get(letter.runId)!;
        chosen.parameters.set(canonicalJson(parameters ?? {}), parameters);
        chosen.letters.push({ id: letter.id, revision: letter.revision });
        yield Buffer.from(writeLetterLine(await loadValue(ports, tenant, letter, limits.recordBytes)));
      }
    }
  }
  // A line is the record in base64 and a little more.
  const batchRecords =
    throttle === undefined ? limits.batchRecords : Math.min(limits.batchRecords, burstOf(throttle));
  const lineLimits = { ...limits, batchRecords, recordBytes: limits.recordBytes * 2 + 65_536 };
  const batches: Batch[] = [];
  const input = { format: { name: 'ndjson' }, limits: lineLimits };
  for await (const batch of ports.receiver.receive(scopeOf(draft), input, lines())) batches.push(batch);
  if (chosen.letters.length === 0) throw new WaybillError('NoOpenDeadLetters');
  return batches;
}

function parametersOf({ parameters }: Chosen): unknown {
  if (parameters.size > 1) throw new WaybillError('ParametersDiffer');
  return [...parameters.values()][0];
}
