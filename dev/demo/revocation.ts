import { spawn } from 'node:child_process';
import { count } from '../../cli/output/quantities.ts';
import { ndjsonFormat } from '../../connectors/formats/ndjson/index.ts';
import type { Run, WaybillClient } from '../../sdk/client.ts';
import { nodeFlags, packageFile } from '../stack/nodeService.ts';
import { followUntil, rejectionCodeOf } from './followUntil.ts';

/** What became of a run when its requester was revoked before its end. */
export interface RevokedRun {
  /** The run when it was suspended, and as it ended once the requester was restored. */
  suspended: Run;
  ended: Run;
  /** From the revocation to the moment at which the run was seen suspended. */
  suspendedAfterMs: number;
  /** The code with which the API rejected the requester during that time; `undefined` if it did not. */
  requestErrors: string | undefined;
}

const orders = 80_000;

/**
 * `requester` sends so many orders that the run takes some seconds; as soon as it is accepted, `operator` revokes them,
 * waits until the run is suspended, and restores them. Reports each step to `say`.
 */
export async function revokeRequester(
  requester: WaybillClient,
  operator: WaybillClient,
  say: (line: string) => void,
): Promise<RevokedRun> {
  const { id, requestedBy } = await requester.upload('orders', generatedOrders(), {
    mediaType: ndjsonFormat.mediaType,
  });
  say(`${id} is accepted: ${count(orders)} orders.`);
  const revocation = await operator.revoke('principal', requestedBy.id, { reason: 'waybill demo' });
  const revokedAt = performance.now();
  say('carol revokes alice (npx waybill revoke principal alice --as carol).');
  let restored = false;
  try {
    const suspended = await followUntil(operator, id, ({ state }) => state === 'suspended');
    const suspendedAfterMs = performance.now() - revokedAt;
    for (const line of suspendedLines(suspended, suspendedAfterMs)) say(line);
    const requestErrors = await rejectionCodeOf(requester.listRuns());
    say(`the API rejects alice herself: ${requestErrors ?? 'it does not'}.`);
    await operator.restore(revocation.id);
    restored = true;
    say('carol restores alice, and the run goes on from where it stood.');
    const ended = await followUntil(operator, id, () => false);
    return { suspended, suspendedAfterMs, requestErrors, ended };
  } finally {
    // Whatever went wrong, alice is restored.
    if (!restored) await operator.restore(revocation.id).catch(() => {});
  }
}

function suspendedLines({ state, reason, counts: { stored, unchanged } }: Run, afterMs: number): string[] {
  return [
    `After ${(afterMs / 1000).toFixed(1)} s her next task is rejected, and the run is ${state}:`,
    `  ${reason?.code}: ${reason?.message}`,
    `  ${count(stored + unchanged)} of its rows are in the table; it holds no worker while it waits.`,
  ];
}

/** The example’s own generator, as `npm run generate` runs it. */
function generatedOrders(): AsyncIterable<Uint8Array> {
  const child = spawn(
    process.execPath,
    [
      ...nodeFlags,
      packageFile('examples/acme/generate.ts'),
      ...['orders', '--rows', String(orders), '--invalid', '1%', '--seed', 'demo'],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return child.stdout;
}
