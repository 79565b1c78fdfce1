import { setTimeout as pause } from 'node:timers/promises';
import type { CallRates } from '../../domain/ports/lookupCache.ts';
import type { RateBucket, Rates } from '../../domain/ports/rates.ts';
import { sql } from '../../domain/sql.ts';
import type { Tenants } from './tenants.ts';

/** A process takes tokens for so long at once, so that it asks the database at most so often for each bucket. */
const blockMs = 50;
/** Then what it has not used is lost: a process that dies takes no more than that with it. */
const keptMs = 1_000;
const bucketsMax = 10_000;

/**
 * Buckets in the database, of which each process takes blocks. What is taken is never given back, so nothing leaks; a process that is
 * killed has taken at most `blockMs` of the rate.
 */
export function createRates(tenants: Tenants): Rates {
  const blocks = new Map<string, Block>();

  async function refill(block: Block, bucket: RateBucket, tokens: number): Promise<void> {
    const wanted = Math.max(tokens, Math.ceil((bucket.perSecond * blockMs) / 1_000));
    const { taken, waitMs } = await takeBlock(tenants, bucket, tokens, wanted);
    const nowMs = performance.now();
    if (taken > 0) Object.assign(block, { left: block.left + taken, untilMs: nowMs + keptMs });
    else block.waitUntilMs = nowMs + waitMs;
  }

  return {
    async take(bucket, tokens) {
      const key = `${bucket.tenant} ${bucket.name}`;
      if (blocks.size >= bucketsMax) blocks.clear();
      const block: Block = blocks.get(key) ?? { left: 0, untilMs: 0, waitUntilMs: 0 };
      blocks.set(key, block);
      while (true) {
        const nowMs = performance.now();
        if (block.untilMs < nowMs) block.left = 0;
        if (block.left >= tokens) {
          block.left -= tokens;
          return 0;
        }
        if (block.waitUntilMs > nowMs) return block.waitUntilMs - nowMs;
        block.refilling ??= refill(block, bucket, tokens).finally(() => {
          block.refilling = undefined;
        });
        await block.refilling;
      }
    },
  };
}

/** The rate of a pipeline’s calls, which all workers share: a call waits until there is a token. A pause saves up one block. */
export function createCallRates(tenants: Tenants): CallRates {
  const rates = createRates(tenants);
  return {
    async take(tenant, name, callsPerS, signal) {
      const burst = Math.max(1, Math.ceil((callsPerS * blockMs) / 1_000));
      while (true) {
        signal.throwIfAborted();
        const waitMs = await rates.take({ tenant, name, perSecond: callsPerS, burst }, 1);
        if (waitMs === 0) return;
        await pause(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    },
  };
}

interface Block {
  left: number;
  untilMs: number;
  /** Before this the database is not asked again. */
  waitUntilMs: number;
  refilling?: Promise<void> | undefined;
}

async function takeBlock(
  tenants: Tenants,
  { tenant, name, perSecond, burst }: RateBucket,
  needed: number,
  wanted: number,
): Promise<{ taken: number; waitMs: number }> {
  const { rows } = await tenants
    .for(tenant)
    .query<{ taken: number; wait_ms: number }>(
      sql(
        'SELECT taken, wait_ms FROM waybill.take_tokens(:name, :perSecond::float8, :burst::float8, :needed::float8, :wanted::float8)',
        { name, perSecond, burst, needed, wanted },
        'take-tokens',
      ),
    );
  return { taken: rows[0]!.taken, waitMs: rows[0]!.wait_ms };
}
