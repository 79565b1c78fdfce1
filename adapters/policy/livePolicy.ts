import type { Client } from 'pg';
import { WaybillError } from '../../domain/errors.ts';
import type { Policy } from '../../domain/policies/policy.ts';
import type { AuditLog } from '../../domain/ports/audit.ts';
import type { DatabaseAddress } from '../postgres/address.ts';
import { ageMaxMs, keepCurrent } from '../postgres/cachedQuery.ts';
import { type AppliedSet, policyChannel, readPolicySet } from '../postgres/rights/policySets.ts';
import { createPolicyEngine } from './engine.ts';
import { policyInvalid } from './validatePolicies.ts';

export interface LivePolicyOptions {
  /** As a role that may read `waybill.policy_set`. */
  database: DatabaseAddress;
  /** Who loads, for the audit. */
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
  /** Resolves once the set in force at the time of the call decides. Throws `PolicyUnavailable` where that takes 4 s. */
  refresh(): Promise<void>;
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
  const { database, onError, signal } = options;
  let known: { set: AppliedSet; engine: Policy } | undefined;

  async function read(client: Client): Promise<void> {
    const set = await readPolicySet(client, known?.set);
    if (!set) throw policyInvalid([{ path: '', message: noneInForce }]);
    if (set === known?.set) return;
    const before = known?.set.digest;
    known = { set, engine: engineOf(set) };
    if (before !== undefined) void record(options, { digest: set.digest, before });
  }

  const refused = Promise.withResolvers<never>();
  signal?.addEventListener('abort', () => refused.reject(signal.reason), { once: true });
  const copy = keepCurrent({
    database,
    channel: policyChannel,
    read,
    onError(error) {
      onError(error);
      if (!(error instanceof WaybillError && error.retryable)) refused.reject(error);
    },
  });
  try {
    signal?.throwIfAborted();
    await Promise.race([copy.ready, refused.promise]);
  } catch (error) {
    await copy.close();
    throw error;
  }

  function engine(): Policy {
    if (copy.ageMs() > ageMaxMs) throw new WaybillError('PolicyUnavailable');
    return known!.engine;
  }

  return {
    get digest() {
      return known!.set.digest;
    },
    get roles() {
      return known!.set.roles;
    },
    decide: (question) => engine().decide(question),
    explain: (question) => engine().explain(question),
    async refresh() {
      if (!(await copy.refresh())) throw new WaybillError('PolicyUnavailable');
    },
    close: copy.close,
  };
}

const noneInForce = 'no policy set is in force in this database; waybill apply puts one there';

/** A row that was changed after `apply` was not validated. */
function engineOf(applied: AppliedSet): Policy {
  const engine = createPolicyEngine(applied);
  if (engine.digest === applied.digest) return engine;
  throw policyInvalid([{ path: '', message: 'the set in the database is not the one that was applied' }]);
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
