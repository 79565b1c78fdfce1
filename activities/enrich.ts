import { Context } from '@temporalio/activity';
import { WaybillError } from '../domain/errors.ts';
import type { CallContext, EnrichManifest } from '../domain/pipelines/enrich.ts';
import { Costs, callOnce, inParts, type Lookups, writeLookups } from '../domain/pipelines/lookups.ts';
import { type Batch, smallBytesMax } from '../domain/runs/batch.ts';
import type { Counts } from '../domain/runs/run.ts';
import type { RunFacts } from '../domain/runs/runFacts.ts';
import { approvedRun } from './approved.ts';
import type { Dependencies } from './dependencies.ts';
import { audited, digestOf, objectScopeOf, requireDefinition, workOf } from './run.ts';
import { batchTask, recordStage } from './stage.ts';

/** Calls of one batch at a time. */
const callsMax = 4;
/** How long a run keeps what it found until its batch is recorded, where the pipeline has no cache. */
const runCacheMs = 86_400_000;

/**
 * Looks up a value for each key of a batch and records all of them: every later attempt, of this step and of the next ones, uses these.
 * What one call found is kept at once, so that a retry does not pay for it again.
 */
export async function enrichStep(deps: Dependencies, { seq }: { seq: number }): Promise<Partial<Counts>> {
  const run = await approvedRun(deps);
  const { batch, validated, enriched } = await workOf(deps, run, seq);
  if (enriched) return enriched.counts;

  if (!validated)
    throw new WaybillError('StepResultInvalid', { detail: `batch ${seq} of ${run.runId} is not validated` });
  const found = batch.refused ? nothing : await lookUp(deps, run, batch, validated.digest);
  const values = Buffer.from(writeLookups(found.lookups));
  const isSmall = values.byteLength <= smallBytesMax;
  const digest = isSmall ? digestOf(values) : await deps.objects.put(objectScopeOf(run), values);
  const result = {
    digest,
    sizeBytes: values.byteLength,
    ...(isSmall && { values }),
    rejections: [],
    counts: {},
  };
  const audit = audited(deps, 'batch.enriched', { seq, digest, ...found.facts });
  return recordStage(deps, run, { seq, stage: 'enrich' }, result, audit);
}

interface Found {
  lookups: Lookups;
  /** For the audit. */
  facts: {
    keys: number;
    missed: number;
    cached: number;
    calls: number;
    hosts: string[];
    costs?: Record<string, number>;
  };
}

const nothing: Found = { lookups: new Map(), facts: { keys: 0, missed: 0, cached: 0, calls: 0, hosts: [] } };

async function lookUp(
  deps: Dependencies,
  run: RunFacts,
  batch: Batch,
  validatedDigest: string,
): Promise<Found> {
  const signal = Context.current().cancellationSignal;
  const { manifest, digest } = requireDefinition(deps);
  const terms = manifest.enrich!;
  const { validated, keys, misses } = await deps.compute.lookupKeys(batchTask(deps, run, batch), signal);
  if (validated !== validatedDigest)
    throw new WaybillError('StageMismatch', { detail: `batch ${batch.seq} of ${run.runId}` });
  const cache =
    terms.cacheTtlMs === undefined
      ? { scope: `run ${run.runId}`, ttlMs: runCacheMs, keepsMisses: true }
      : { scope: `definition ${digest}`, ttlMs: terms.cacheTtlMs, keepsMisses: false };
  const lookups = new Map<string, unknown>();
  const hosts = new Set<string>();
  const costs = new Costs();
  const counted = { cached: 0, calls: 0 };

  async function one(part: readonly [string, unknown][]): Promise<void> {
    const known = await deps.lookupCache.find(
      run.tenant,
      cache.scope,
      part.map(([key]) => key),
    );
    counted.cached += known.size;
    const asked = part.filter(([key]) => !known.has(key));
    const values = asked.length > 0 ? await call(deps, run, asked, terms, { hosts, costs }, signal) : [];
    if (asked.length > 0) counted.calls++;
    const fresh = new Map(asked.map(([key], i) => [key, values[i] ?? null]));
    const kept = cache.keepsMisses ? fresh : new Map([...fresh].filter(([, value]) => value !== null));
    await deps.lookupCache.keep(run.tenant, cache.scope, kept, cache.ttlMs);
    for (const [key] of part) lookups.set(key, (known.has(key) ? known : fresh).get(key) ?? null);
  }

  await atMost(callsMax, inParts([...keys], terms.batchSize), one);
  const missed = misses + [...lookups.values()].filter((value) => value === null).length;
  if (missed > 0 && terms.onMiss === 'fail') throw new WaybillError('LookupIncomplete');
  // In the order of the records: the same values are the same bytes.
  const ordered = new Map([...keys.keys()].map((key) => [key, lookups.get(key)]));
  return {
    lookups: ordered,
    facts: {
      keys: keys.size,
      missed,
      ...counted,
      hosts: [...hosts].sort(),
      ...(Object.keys(costs.sums).length > 0 && { costs: costs.sums }),
    },
  };
}

/** One call of the pipeline’s code, in its turn. The right is checked again before it, since a batch may take long. */
async function call(
  deps: Dependencies,
  run: RunFacts,
  asked: readonly [string, unknown][],
  terms: EnrichManifest,
  { hosts, costs }: { hosts: Set<string>; costs: Costs },
  signal: AbortSignal,
): Promise<readonly unknown[]> {
  if (terms.callsPerS !== undefined)
    await deps.callRates.take(run.tenant, `enrich ${run.pipeline}`, terms.callsPerS, signal);
  await deps.recheck();
  const timeout = AbortSignal.timeout(terms.timeoutMs);
  const ended = AbortSignal.any([signal, timeout]);
  const names = terms.credentials ?? [];
  const context: CallContext = {
    fetch: deps.outbound.fetch({
      secret: names.length > 0,
      signal: ended,
      onHost: (host) => hosts.add(host),
    }),
    signal: ended,
    secrets: (name) => secretOf(deps, names, name),
    count: (unit, amount) => costs.add(unit, amount),
  };
  const records = asked.map(([, record]) => record);
  const code = requireDefinition(deps).enrich!;
  try {
    return await before(ended, callOnce(code, records, context));
  } catch (error) {
    throw failureOf(error, { signal, timeout, timeoutMs: terms.timeoutMs });
  }
}

function failureOf(
  error: unknown,
  { signal, timeout, timeoutMs }: { signal: AbortSignal; timeout: AbortSignal; timeoutMs: number },
): unknown {
  if (signal.aborted) return signal.reason;
  if (error instanceof WaybillError) return error;
  if (timeout.aborted)
    return new WaybillError('LookupUnavailable', {
      publicDetail: `It took more than ${timeoutMs / 1000} s.`,
      cause: error,
    });
  // Its message may hold values of the records.
  const name = error instanceof Error ? error.name : typeof error;
  return new WaybillError('LookupFailed', {
    detail: error instanceof Error ? error.message : String(error),
    publicDetail: `It threw ${name}.`,
    cause: error,
  });
}

async function secretOf(deps: Dependencies, names: readonly string[], name: string): Promise<string> {
  if (!names.includes(name)) throw new TypeError(`\`credentials\` of \`enrich\` does not list “${name}”`);
  try {
    return await deps.credential(name);
  } catch (cause) {
    throw new WaybillError('LookupUnavailable', {
      publicDetail: `The worker cannot read the credential “${name}”.`,
      cause,
    });
  }
}

/** Code that does not follow its signal is left alone. */
function before<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    work.then(resolve, reject);
  });
}

/** After a failure no further one begins, and those under way are awaited. */
async function atMost<T>(max: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items];
  let failed: { error: unknown } | undefined;
  const worker = async () => {
    for (let item = left.shift(); item !== undefined && !failed; item = left.shift())
      await work(item).catch((error: unknown) => {
        failed ??= { error };
      });
  };
  await Promise.all(Array.from({ length: Math.min(max, items.length) }, worker));
  if (failed) throw failed.error;
}
