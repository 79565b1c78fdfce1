import type { DevJson } from '../../cli/embedded/devJson.ts';
import type { Run, WaybillClient } from '../../sdk/client.ts';
import { apiRequests } from './apiRequests.ts';
import { type Attack, type Attempted, attempt } from './attack.ts';
import { attacksOn, openRun } from './openRun.ts';
import { revokedRight } from './revokedRight.ts';
import { openScene } from './scene.ts';
import { temporalRequests } from './temporalRequests.ts';

export interface Report {
  attempts: Attempted[];
  /** The run that was open during the attacks, as it ended. */
  underWay: Pick<Run, 'id' | 'state' | 'counts'>;
  /** Whether all of it was refused and nothing was touched. */
  held: boolean;
}

/** The people that make the requests of an honest caller. */
export interface Cast {
  alice: WaybillClient;
  carol: WaybillClient;
  erin: WaybillClient;
}

/**
 * Tries each thing in turn, at a run of alice’s that has ended and at one that is under way. `say` is told of each as soon
 * as it is known what became of it.
 */
export async function attackStack(
  dev: DevJson,
  victim: Run,
  { alice, carol, erin }: Cast,
  say: (place: string, attempted: Attempted) => void,
): Promise<Report> {
  const scene = await openScene(dev, victim);
  const open = await openRun(alice);
  const attempts: Attempted[] = [];
  try {
    const places: [string, readonly Attack[]][] = [
      ['At the API', [...apiRequests, revokedRight(carol, erin)]],
      ['Into Temporal', temporalRequests],
      ['At an open run', attacksOn(open)],
    ];
    for (const [place, attacks] of places) {
      for (const attack of attacks) {
        const attempted = await attempt(scene, attack);
        attempts.push(attempted);
        say(place, attempted);
      }
    }
  } finally {
    await scene.close();
  }
  const { id, state, counts } = await open.finish();
  const held = state === 'completed' && attempts.every((one) => one.held);
  return { attempts, underWay: { id, state, counts }, held };
}

/** What only needs Temporal and a run that has ended: the part that the demo shows. */
export async function startByHand(
  dev: DevJson,
  victim: Run,
  say: (attempted: Attempted) => void,
): Promise<Attempted[]> {
  const scene = await openScene(dev, victim);
  const attempts: Attempted[] = [];
  try {
    for (const attack of temporalRequests) {
      const attempted = await attempt(scene, attack);
      attempts.push(attempted);
      say(attempted);
    }
  } finally {
    await scene.close();
  }
  return attempts;
}
