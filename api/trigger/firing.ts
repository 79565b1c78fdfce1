import type { AcceptedFiring } from '../../domain/ports/acceptance.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { acceptanceOf, type Call, mint, record } from './draft.ts';
import { callbackOf, type Envelope, resolve } from './envelope.ts';

/**
 * Accepts the run of a time of a schedule, by the steps of any other: record, resolve, mint, accept. `undefined` where the time has
 * had its firing, or the schedule is no more what it was.
 */
export async function triggerByFiring(
  ports: ApiPorts,
  options: ApiOptions,
  call: Call,
  envelope: Envelope,
  firing: AcceptedFiring,
): Promise<{ run: Run; grant: string } | undefined> {
  const draft = record(call, await resolve(ports, call, envelope));
  const callback = callbackOf(ports, options, draft, envelope);
  const minted = await mint(ports, options, draft, { callback });
  const acceptance = acceptanceOf(draft, minted, { batches: [], sealed: false, callback });
  const run = await ports.acceptance.acceptFiring(
    {
      ...acceptance,
      audit: { ...acceptance.audit, detail: { ...acceptance.audit.detail, ...aboutOf(firing) } },
    },
    firing,
  );
  return run && { run, grant: minted.grant };
}

function aboutOf({ schedule, nominalAt }: AcceptedFiring) {
  return { schedule, nominalAt };
}
