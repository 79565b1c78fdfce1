import { WaybillError } from '../domain/errors.ts';
import type { RouteName } from './routeTable.ts';

/** How often the event loop is asked for a turn; it must be late several times in a row, since a long task is no load. */
const periodMs = 250;
const lateMs = 750;
const lateTurns = 4;
/** Requests that may wait for a connection to the database. */
const waitingMax = 2_000;

/** What stops work and rights, and what tells how the API is, is answered under any load. */
const answeredAlways: ReadonlySet<RouteName> = new Set([
  'cancelRun',
  'revoke',
  'pauseSchedule',
  'backchannelLogout',
  'health',
  'ready',
  'keys',
]);

export interface LoadGate {
  /** Throws `Overloaded` where the API has more to do than it can. */
  check(route: RouteName): void;
  close(): void;
}

/**
 * Sheds requests while the API has more to do than it can, so that those that it has taken are answered.
 * @param waiting how many queries wait for a connection
 */
export function createLoadGate(waiting: () => number): LoadGate {
  let lateFor = 0;
  let lastMs = performance.now();
  const looking = setInterval(() => {
    const nowMs = performance.now();
    lateFor = nowMs - lastMs - periodMs >= lateMs ? lateFor + 1 : 0;
    lastMs = nowMs;
  }, periodMs).unref();

  return {
    check(route) {
      if (answeredAlways.has(route)) return;
      if (lateFor >= lateTurns) throw overloaded('its event loop is late');
      if (waiting() > waitingMax) throw overloaded(`${waiting()} queries wait for a connection`);
    },
    close: () => clearInterval(looking),
  };
}

function overloaded(detail: string): WaybillError {
  return new WaybillError('Overloaded', { detail, retryAfterMs: 2_000 });
}
