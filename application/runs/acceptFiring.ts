import { WaybillError } from '../../domain/errors.ts';
import type { AcceptedFiring } from '../../domain/ports/acceptance.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { callbackOf, type Envelope, resolveEnvelope } from './acceptEnvelope.ts';
import { checkLimits } from './checkLimits.ts';
import { acceptanceOf, draftRun, mintGrant, type RunCaller } from './runDraft.ts';

/** What a time of a schedule asks for. */
export interface FiringRequest {
  envelope: Envelope;
  firing: AcceptedFiring;
}

/**
 * Accepts the run of a time of a schedule: resolve, draft, mint, accept. Throws `FiringUnavailable` where the time has had its firing,
 * or the schedule has changed since it was checked.
 */
export async function acceptFiring(
  ports: Pick<
    ApplicationPorts,
    'acceptance' | 'policy' | 'grantSigner' | 'inputs' | 'checkCallback' | 'limits' | 'limitedRates'
  >,
  options: ApplicationOptions,
  caller: RunCaller,
  { envelope, firing }: FiringRequest,
): Promise<{ run: Run; grant: string }> {
  const draft = draftRun(caller, undefined, await resolveEnvelope(ports, caller.pipeline, envelope));
  await checkLimits(ports, caller);
  const callback = callbackOf(ports, options, draft, envelope);
  const minted = await mintGrant(ports, options, draft, { callback });
  const acceptance = acceptanceOf(draft, minted, { batches: [], sealed: false, callback });
  const { schedule, nominalAt } = firing;
  const run = await ports.acceptance.acceptFiring(
    {
      ...acceptance,
      audit: { ...acceptance.audit, detail: { ...acceptance.audit.detail, schedule, nominalAt } },
    },
    firing,
  );
  if (run) return { run, grant: minted.grant };
  // Either the answer to an earlier request was lost, or the schedule has changed in this moment.
  throw new WaybillError('FiringUnavailable', { detail: 'the schedule has changed since it was checked' });
}
