import { setTimeout as pause } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { AuditLog } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Policy } from '../../domain/policy.ts';
import type { DatabaseAddress } from '../postgres/address.ts';
import { connectPool } from '../postgres/connect.ts';
import { listen } from '../postgres/listen.ts';
import { type AppliedSet, policyChannel, readPolicySet } from '../postgres/policySets.ts';
import { createPolicyEngine } from './engine.ts';
import { policyInvalid } from './policyInvalid.ts';

/** A notification may be lost; nobody waits longer than this for a set. */
const pollMs = 2_000;
/** Knowledge that is older decides nothing. */
const staleMs = 10_000;
const answerWithinMs = 3_000;

export interface LivePolicyOptions {
  /** As a role that may read `waybill.policy_set`. */
  database: DatabaseAddress;
  /** Who loads, for the audit: `api`, or the identity of a worker. */
  process: string;
  audit: AuditLog;
  /** Told of a new set, once it decides. */
  onLoaded(change: { digest: string; before: string }): void;
  /** Told of what went wrong; it is tried again. */
  onError(error: unknown): void;
  /** Ends the wait for a database that is away at the start. */
  signal?: AbortSignal;
}

export interface LivePolicy extends Policy {
  close(): Promise<void>;
}

/**
 * The policy in force, for as long as the process lives. Resolves once the first set decides, and waits for the database
 * until then; rejects with `PolicyInvalid` where there is none or it does not validate strictly, so that nothing
 * starts on it. Later sets are taken up within seconds, and their loading is recorded. One that cannot be loaded is
 * not replaced by the one before it: after 10 s nothing is decided any more (`PolicyUnavailable`), as when the database
 * has been away for that long.
 */
export async function startLivePolicy(options: LivePolicyOptions): Promise<LivePolicy> {
  const { database, onError } = options;
  const pool = connectPool(database, { connectionsMax: 1, name: 'waybill-policy', answerWithinMs });
  const closing = new AbortController();
  let known: Known;
  try {
    known = await patiently(() => look(pool), onError, options.signal);
  } catch (error) {
    await pool.end();
    throw error;
  }

  let due = true;
  let wake = () => {};
  const listening = listen(database, policyChannel, () => {
    due = true;
    wake();
  });
  const watching = (async () => {
    while (!closing.signal.aborted) {
      due = false;
      const before = known.set.digest;
      try {
        known = await look(pool, known);
      } catch (error) {
        onError(error);
      }
      const { digest } = known.set;
      if (digest !== before) await record(options, { digest, before });
      if (due) continue;
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      await Promise.race([woken, pause(pollMs, undefined, { signal: closing.signal }).catch(() => {})]);
    }
  })();

  function engine(): Policy {
    if (performance.now() - known.atMs > staleMs) throw new WaybillError('PolicyUnavailable');
    return known.engine;
  }

  return {
    get digest() {
      return known.set.digest;
    },
    get roles() {
      return known.set.roles;
    },
    decide: (question) => engine().decide(question),
    explain: (question) => engine().explain(question),
    async close() {
      closing.abort();
      await Promise.all([watching, listening.close()]);
      await pool.end();
    },
  };
}

/** What was in force when the database was last asked. */
interface Known {
  set: AppliedSet;
  engine: Policy;
  atMs: number;
}

async function look(pool: Pool, known?: Known): Promise<Known> {
  const atMs = performance.now();
  const set = await readPolicySet(pool, known?.set);
  if (!set) throw policyInvalid([{ path: '', message: noneInForce }]);
  return { set, engine: set === known?.set ? known.engine : engineOf(set), atMs };
}

const noneInForce = 'no policy set is in force in this database; waybill apply puts one there';

/** A row that was changed after it had been applied is not what somebody had validated. */
function engineOf(applied: AppliedSet): Policy {
  const engine = createPolicyEngine(applied);
  if (engine.digest === applied.digest) return engine;
  throw policyInvalid([{ path: '', message: 'the set in the database is not the one that was applied' }]);
}

async function patiently(
  look: () => Promise<Known>,
  onError: (error: unknown) => void,
  signal: AbortSignal | undefined,
): Promise<Known> {
  for (;;) {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof WaybillError && error.retryable) || signal?.aborted) throw error;
      onError(error);
      await pause(pollMs, undefined, { signal });
    }
  }
}

async function record(
  { process, audit, onLoaded, onError }: LivePolicyOptions,
  change: { digest: string; before: string },
): Promise<void> {
  onLoaded(change);
  await audit
    .append({
      action: 'policy.loaded',
      outcome: 'success',
      tenant: null,
      actor: null,
      runId: null,
      txn: null,
      detail: { process, ...change },
    })
    .catch(onError);
}
