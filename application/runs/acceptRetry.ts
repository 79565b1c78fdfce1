import { WaybillError } from '../../domain/errors.ts';
import type { RetryInput } from '../../domain/ports/runs.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Run } from '../../domain/runs/run.ts';
import { isOfLetters, isPulled, retriedKind } from '../../domain/sources/source.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { forget, scopeOf } from './acceptEnvelope.ts';
import { checkLimits } from './checkLimits.ts';
import { requestDigestOf, sameRun } from './idempotency.ts';
import { acceptanceOf, draftRun, mintGrant, type RunCaller, type RunDraft } from './runDraft.ts';

/** Which run is to be run again. */
export interface RetryRequest {
  of: Run;
}

type Ports = Pick<
  ApplicationPorts,
  'acceptance' | 'runs' | 'objects' | 'policy' | 'grantSigner' | 'limits' | 'limitedRates'
>;

/**
 * Accepts the run: draft, copy, mint, accept. A source that Waybill reads itself, and had not read to its end, is read again. Throws
 * `RunInputIncomplete` and `RunFullyStored`.
 */
export async function acceptRetry(
  ports: Ports,
  options: ApplicationOptions,
  caller: RunCaller,
  { of }: RetryRequest,
): Promise<Run> {
  const input = await ports.runs.findInput({ tenant: of.tenant, runId: of.id });
  const readsAgain = !input.sealed && isPulled(input.source);
  if ((!input.sealed && !readsAgain) || isOfLetters(input.source))
    throw new WaybillError('RunInputIncomplete');
  if (input.sealed && input.left.length === 0) throw new WaybillError('RunFullyStored');
  const source = readsAgain ? input.source : { kind: retriedKind, run: of.id };
  // Asked again by the same caller, it is the same run.
  const draft = draftRun(caller, `retry of ${of.id}`, { parameters: input.parameters, source });
  const requestDigest = requestDigestOf(draft, 'application/json', null, of.id);
  const known = draft.idempotency && (await ports.acceptance.findKey(draft.idempotency));
  if (known) return sameRun(known, requestDigest);
  await checkLimits(ports, caller);
  const batches = readsAgain ? [] : await copyBatches(ports, draft, of, input);
  const minted = await mintGrant(ports, options, draft, readsAgain ? {} : { batches });
  const acceptance = acceptanceOf(draft, minted, { batches, sealed: !readsAgain, requestDigest });
  const detail = { ...acceptance.audit.detail, retryOf: of.id };
  const accepted = await ports.acceptance.accept({
    ...acceptance,
    retried: { runId: of.id, seqs: readsAgain ? null : input.left.map(({ seq }) => seq) },
    audit: { ...acceptance.audit, detail },
  });
  if (accepted.outcome === 'accepted') return accepted.run;
  await forget(ports, draft, batches);
  return sameRun(accepted.known, requestDigest);
}

/** Each run owns its objects, so that what is removed of one is not missed by another. */
async function copyBatches(ports: Ports, draft: RunDraft, of: Run, { left }: RetryInput): Promise<Batch[]> {
  const from = { tenant: of.tenant, runId: of.id };
  const copied: Batch[] = [];
  try {
    for (const [seq, { sourceVersion: _, ...batch }] of left.entries()) {
      if (!batch.bytes) await ports.objects.put(scopeOf(draft), await ports.objects.get(from, batch.digest));
      copied.push({ ...batch, seq });
    }
  } catch (error) {
    await forget(ports, draft, copied);
    const isGone = error instanceof WaybillError && error.code === 'BatchNotFound';
    throw isGone ? new WaybillError('RunInputIncomplete', { cause: error }) : error;
  }
  return copied;
}
