import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import { runLinksOf } from '../../domain/links.ts';
import type { Acceptance } from '../../domain/ports/acceptance.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Run } from '../../domain/runs/run.ts';
import { isPulled } from '../../domain/sources/source.ts';
import { HttpUrl, SourceReference } from '../../domain/sources/sourceReference.ts';
import { issuesError } from '../issues.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { checkLimits, checkOpenUploads } from './checkLimits.ts';
import { requestDigestOf, sameRun } from './idempotency.ts';
import { checkParameters } from './parameters.ts';
import { acceptanceOf, draftRun, mintGrant, type RunCaller, type RunDraft } from './runDraft.ts';

/** The body of a call that hands over a reference or a few records. */
export const Envelope = z.strictObject({
  source: SourceReference.optional().describe(
    'Where a pipeline with a file or http source reads; overrides the one of its definition.',
  ),
  parameters: z.record(z.string(), z.unknown()).optional(),
  records: z
    .array(z.record(z.string(), z.unknown()))
    .max(100_000)
    .optional()
    .describe('The data itself, for pipelines with an inline source or an upload of NDJSON.'),
  callback: z
    .strictObject({ url: HttpUrl })
    .optional()
    .describe('Is told by signed webhooks when the run ends, is suspended or goes on. See docs/webhooks.md.'),
});
export type Envelope = z.infer<typeof Envelope>;

/** Throws `InvalidRequest`. Records are looked at first: a hundred thousand wrong ones would become as many issues. */
export function parseEnvelope(value: unknown): Envelope {
  const records = (value as { records?: unknown } | null)?.records;
  const wrong: { path: PropertyKey[]; message: string }[] = [];
  let wrongCount = 0;
  if (Array.isArray(records))
    for (const [i, record] of records.entries()) {
      if (typeof record === 'object' && record !== null && !Array.isArray(record)) continue;
      if (wrongCount++ < 100) wrong.push({ path: ['records', i], message: 'A record is an object.' });
    }
  if (wrongCount > 0) throw issuesError('InvalidRequest', wrong, [], wrongCount);
  const parsed = Envelope.safeParse(value);
  if (parsed.success) return parsed.data;
  throw issuesError('InvalidRequest', parsed.error.issues);
}

/** What a request of this kind says. */
export interface EnvelopeRequest {
  envelope: Envelope;
  /** Its records as they came, where a JavaScript value would not be equal to one of them. */
  recordTexts?: readonly string[] | undefined;
  /** Of the bytes as they came: a repeated request has the same. */
  bodyDigest: string;
  /** Whether the data of an upload may follow; a request without any body has rather forgotten it. */
  dataFollows: boolean;
  idempotencyKey: string | undefined;
  /** The run is for a time of a schedule that has passed. */
  backfill?: boolean;
}

type Ports = Pick<
  ApplicationPorts,
  | 'acceptance'
  | 'receiver'
  | 'runInputs'
  | 'objects'
  | 'policy'
  | 'grantSigner'
  | 'inputs'
  | 'checkCallback'
  | 'limits'
  | 'limitedRates'
>;

/** Accepts a run from a complete request: resolve, draft, receive, mint, accept. */
export async function acceptEnvelope(
  ports: Ports,
  options: ApplicationOptions,
  caller: RunCaller,
  { envelope, recordTexts, bodyDigest, dataFollows, idempotencyKey, backfill = false }: EnvelopeRequest,
): Promise<Run> {
  const resolved = await resolveEnvelope(ports, caller.pipeline, envelope, dataFollows);
  const draft = draftRun(caller, idempotencyKey, resolved);
  const requestDigest = requestDigestOf(draft, 'application/json', null, bodyDigest);
  const callback = callbackOf(ports, options, draft, envelope);
  const lines = linesOf(draft, envelope, recordTexts);

  // Bytes are kept before the run is accepted, so a repeated request is better found out before that.
  const known = draft.idempotency && (await ports.acceptance.findKey(draft.idempotency));
  if (known) return sameRun(known, requestDigest);
  await checkLimits(ports, caller);

  const input = await openInput(ports, draft);
  const batches = lines ? await receive(ports, draft, lines) : [];
  const minted = await mintGrant(ports, options, draft, { batches: lines && batches, callback });
  const arrival = {
    batches,
    sealed: lines !== undefined,
    requestDigest,
    callback,
    backfill,
    ...(input && { input }),
  };
  const accepted = await ports.acceptance.accept(acceptanceOf(draft, minted, arrival));
  if (accepted.outcome === 'accepted') return accepted.run;
  await forget(ports, draft, batches);
  return sameRun(accepted.known, requestDigest);
}

/** Whether a request would get as far as being accepted. Throws what `acceptEnvelope` throws before it mints. */
export async function checkEnvelope(
  ports: Pick<ApplicationPorts, 'inputs' | 'checkCallback'>,
  pipeline: LoadedPipeline,
  envelope: Envelope,
): Promise<void> {
  await resolveEnvelope(ports, pipeline, envelope);
  if (envelope.callback) checkUrl(ports, envelope.callback.url);
}

/** Step `resolve`. Throws `ParametersInvalid`, `SourceInvalid`, `SourceRefused`, `InputRequired`. */
export async function resolveEnvelope(
  { inputs }: Pick<ApplicationPorts, 'inputs'>,
  pipeline: LoadedPipeline,
  { source, parameters, records }: Envelope,
  dataFollows = false,
): Promise<Pick<RunDraft, 'parameters' | 'source'>> {
  const given = { source, records: records !== undefined, dataFollows };
  const accepted = await inputs.accept(pipeline.manifest.source, given);
  return { parameters: await checkParameters(pipeline, parameters), source: accepted };
}

/** The URL as it is written once it is parsed. Throws `CallbackRefused`. */
export function callbackOf(
  ports: Pick<ApplicationPorts, 'checkCallback'>,
  options: ApplicationOptions,
  { runId }: RunDraft,
  { callback }: Envelope,
): Acceptance['callback'] {
  if (!callback) return null;
  checkUrl(ports, callback.url);
  return { url: new URL(callback.url).href, links: runLinksOf(runId, options.publicUrl) };
}

function checkUrl({ checkCallback }: Pick<ApplicationPorts, 'checkCallback'>, url: string): void {
  try {
    checkCallback(url);
  } catch (error) {
    if (!(error instanceof WaybillError) || error.code !== 'CallbackRefused') throw error;
    throw new WaybillError('CallbackRefused', {
      issues: [{ path: '/callback/url', message: 'Name a public host, by https and without credentials.' }],
      cause: error,
    });
  }
}

/** Records as the NDJSON that an upload would have been, so that from here on there is one way only. */
function linesOf(
  { source }: RunDraft,
  { records }: Envelope,
  texts: readonly string[] | undefined,
): Uint8Array | undefined {
  if (isPulled(source) || source.resumable) return undefined;
  if (!records?.length) throw new WaybillError('InputEmpty');
  // Only white space between tokens can be a newline.
  const lines =
    texts?.map((text) => text.replaceAll(/[\r\n]/g, ' ')) ?? records.map((one) => JSON.stringify(one));
  return Buffer.from(`${lines.join('\n')}\n`);
}

/** Uploads of a principal that may be open at the same time. */
const openMax = 32;
const inputWithinMs = 24 * 3_600_000;

/** Until when the data of a run may follow. Throws `TooManyRequests`, `LimitReached`. */
async function openInput(
  ports: Ports,
  { source, principal, pipeline, acceptedAtMs }: RunDraft,
): Promise<Acceptance['input']> {
  if (!source.resumable) return undefined;
  const open = await ports.runInputs.countOpen(principal.tenant, principal.id);
  if (open >= openMax)
    throw new WaybillError('TooManyRequests', { detail: `${open} uploads are open`, retryAfterMs: 60_000 });
  await checkOpenUploads(ports, principal);
  // What is left of the deadline is for the run.
  const withinMs = Math.min(inputWithinMs, pipeline.manifest.deadlineMs / 2);
  return { expiresAt: new Date(acceptedAtMs + withinMs).toISOString() };
}

async function receive({ receiver, inputs }: Ports, draft: RunDraft, lines: Uint8Array): Promise<Batch[]> {
  const bytes = (async function* () {
    yield lines;
  })();
  const batches: Batch[] = [];
  const { source, limits } = draft.pipeline.manifest;
  const format = inputs.format(source, undefined);
  for await (const batch of receiver.receive(scopeOf(draft), { format, limits }, bytes)) batches.push(batch);
  return batches;
}

/**
 * Removes objects of a run that was not accepted; failing to do so does no harm. Never after an acceptance that failed: it may have
 * committed all the same.
 */
export async function forget(
  { objects }: Pick<ApplicationPorts, 'objects'>,
  draft: RunDraft,
  batches: readonly { digest: string }[],
): Promise<void> {
  if (batches.length === 0) return;
  await objects
    .remove(
      scopeOf(draft),
      batches.map(({ digest }) => digest),
    )
    .catch(() => {});
}

export function scopeOf({ principal, runId }: RunDraft) {
  return { tenant: principal.tenant, runId, principal: principal.id };
}
