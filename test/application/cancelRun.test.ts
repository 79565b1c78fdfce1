import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Authorization } from '../../application/authorize.ts';
import { cancelRun } from '../../application/runs/cancelRun.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { Runs } from '../../domain/ports/runs.ts';
import type { Run } from '../../domain/runs/run.ts';

describe('cancelling runs', () => {
  const run = { id: 'few-1', tenant: 'acme' } as Run;
  const principal = { id: 'prn_1', issuer: 'i', subject: 's', kind: 'person', tenant: 'acme', roles: [] };

  function authorized(signal = new AbortController().signal): Authorization {
    return { principal, run, policies: [], policyDigest: 'd', txn: 't', signal } as unknown as Authorization;
  }

  function lockedRuns() {
    const unlock = Promise.withResolvers<void>();
    const seen = { atOnce: 0, most: 0 };
    const requestCancel = async () => {
      seen.most = Math.max(seen.most, ++seen.atOnce);
      await unlock.promise;
      seen.atOnce--;
      return run;
    };
    return { seen, unlock: unlock.resolve, ports: { runs: { requestCancel } as unknown as Runs } };
  }

  it('holds three connections at most while a run is locked', async () => {
    const { ports, seen, unlock } = lockedRuns();
    const cancels = Array.from({ length: 60 }, () => cancelRun(ports, authorized()));
    await new Promise(setImmediate);
    assert.equal(seen.most, 3);
    unlock();
    assert.equal((await Promise.all(cancels)).length, 60);
    assert.equal(seen.most, 3);
  });

  it('rejects what would wait behind 200, and leaves the queue with its caller', async () => {
    const { ports, unlock } = lockedRuns();
    const gone = new AbortController();
    const given = cancelRun(ports, authorized()).then(() => {});
    const cancels = Array.from({ length: 201 }, () => cancelRun(ports, authorized()));
    const last = cancelRun(ports, authorized(gone.signal));
    await assert.rejects(
      cancelRun(ports, authorized()),
      (error: WaybillError) => error.code === 'TooManyRequests',
    );
    gone.abort(new WaybillError('RequestTimeout'));
    await assert.rejects(last, (error: WaybillError) => error.code === 'RequestTimeout');
    unlock();
    await Promise.all([given, ...cancels]);
  });
});
