import { z } from 'zod';
import { WaybillError } from '../../domain/errors.ts';
import { runLinksOf } from '../../domain/links.ts';
import type { FormatManifest, SourceManifest } from '../../domain/pipelines/manifest.ts';
import type { Acceptance } from '../../domain/ports/acceptance.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { acceptanceOf, type Call, type Draft, mint, record } from './draft.ts';
import { requestDigestOf, sameRun } from './idempotency.ts';
import { checkParameters } from './parameters.ts';

/** A URL may be valid and hold what PostgreSQL cannot keep, as written. */
const HttpUrl = z
  .url({ protocol: /^https?$/ })
  .max(2_048)
  .refine((url) => !/[\s\p{Cc}\p{Cs}]/u.test(url), 'Percent-encode white space and control characters.');
const FilePath = z
  .string()
  .min(1)
  .max(4_096)
  .refine((path) => path.isWellFormed(), 'Half of a surrogate pair is no character.');

/** The body of a call that hands over a reference or a few records. */
export const Envelope = z.strictObject({
  source: z
    .union([z.strictObject({ path: FilePath }), z.strictObject({ url: HttpUrl })])
    .optional()
    .describe('Where a pipeline with a file or http source reads; overrides the one of its definition.'),
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

/** Accepts a run whose whole request is here: record, resolve, check, mint, accept, answer. */
export async function triggerByEnvelope(
  ports: ApiPorts,
  options: ApiOptions,
  call: Call,
  envelope: Envelope,
  bodyDigest: string,
): Promise<Run> {
  const draft = record(call, await resolve(ports, call, envelope));
  const requestDigest = requestDigestOf(draft, 'application/json', null, bodyDigest);
  const callback = callbackOf(ports, options, draft, envelope);
  const lines = linesOf(draft, envelope);

  // Bytes are kept before the run is accepted, so a repeated request is better found out before that.
  const known = draft.idempotency && (await ports.acceptance.findKey(draft.idempotency));
  if (known) return sameRun(known, requestDigest);

  const batches = lines ? await keep(ports, draft, lines) : [];
  const minted = await mint(ports, options, draft, { batches: lines && batches, callback });
  const arrival = { batches, sealed: lines !== undefined, requestDigest, callback };
  const accepted = await ports.acceptance.accept(acceptanceOf(draft, minted, arrival));
  if (accepted.outcome === 'accepted') return accepted.run;
  await forget(ports, draft, batches);
  return sameRun(accepted.known, requestDigest);
}

/** Whether a request would get as far as being accepted. Throws what `triggerByEnvelope` throws before it mints. */
export async function checkEnvelope(
  ports: ApiPorts,
  pipeline: Call['pipeline'],
  envelope: Envelope,
): Promise<void> {
  await resolve(ports, { pipeline }, envelope);
  if (envelope.callback) checkUrl(ports, envelope.callback.url);
}

/** Step `resolve`. Throws `ParametersInvalid`, `SourceInvalid`, `SourceRefused`, `InputRequired`. */
export async function resolve(
  ports: ApiPorts,
  { pipeline }: Pick<Call, 'pipeline'>,
  { source, parameters, records }: Envelope,
): Promise<Pick<Draft, 'parameters' | 'source'>> {
  const resolved = resolveSource(pipeline.manifest.source, source, records !== undefined);
  await ports.checkSource(resolved);
  return {
    parameters: await checkParameters(pipeline, parameters),
    source: resolved,
  };
}

/** The URL as it is written once it is parsed. Throws `CallbackRefused`. */
export function callbackOf(
  ports: ApiPorts,
  options: ApiOptions,
  { runId }: Draft,
  { callback }: Envelope,
): Acceptance['callback'] {
  if (!callback) return null;
  checkUrl(ports, callback.url);
  return { url: new URL(callback.url).href, links: runLinksOf(runId, options.publicUrl) };
}

function checkUrl({ checkCallback }: ApiPorts, url: string): void {
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

function resolveSource(
  defined: SourceManifest,
  given: Envelope['source'],
  withRecords: boolean,
): Acceptance['source'] {
  if (defined.kind === 'upload' || defined.kind === 'inline') {
    if (given) throw sourceInvalid('/source', 'The data of this pipeline comes with the request.');
    if (!withRecords) throw new WaybillError('InputRequired');
    if (defined.kind === 'upload' && defined.format.name !== 'ndjson')
      throw sourceInvalid('/records', 'Records are JSON; this pipeline reads CSV. Send it as the body.');
    return { kind: defined.kind };
  }
  if (withRecords) throw sourceInvalid('/records', 'This pipeline reads its data itself.');
  if (defined.kind === 'file') {
    const path = given === undefined ? defined.path : 'path' in given ? given.path : undefined;
    if (path === undefined) throw sourceInvalid('/source', 'Name a path.');
    return { kind: 'file', path };
  }
  const url = given === undefined ? defined.url : 'url' in given ? given.url : undefined;
  if (url === undefined) throw sourceInvalid('/source', 'Name a URL.');
  if (defined.cursor && new URL(url).searchParams.has(defined.cursor.parameter))
    throw sourceInvalid(
      '/source/url',
      `Leave “${defined.cursor.parameter}” out: it is set to where the run before ended.`,
    );
  return { kind: 'http', url, ...(defined.auth && { auth: defined.auth }) };
}

function sourceInvalid(path: string, message: string): WaybillError {
  return new WaybillError('SourceInvalid', { issues: [{ path, message }] });
}

/** Records as the NDJSON that an upload would have been, so that from here on there is one way only. */
function linesOf({ source }: Draft, { records }: Envelope): Uint8Array | undefined {
  if (source.kind !== 'upload' && source.kind !== 'inline') return undefined;
  if (!records?.length) throw new WaybillError('InputEmpty');
  return Buffer.from(`${records.map((one) => JSON.stringify(one)).join('\n')}\n`);
}

const ndjson: FormatManifest = { name: 'ndjson' };

async function keep({ receiver }: ApiPorts, draft: Draft, lines: Uint8Array): Promise<Batch[]> {
  const bytes = (async function* () {
    yield lines;
  })();
  const batches: Batch[] = [];
  for await (const batch of receiver.receive(scopeOf(draft), ndjson, draft.pipeline.manifest.limits, bytes))
    batches.push(batch);
  return batches;
}

/**
 * Removes objects of a run that never was; failing to do so harms nobody. Never after an acceptance that failed:
 * its commit may have come through all the same.
 */
export async function forget(
  { objects }: ApiPorts,
  draft: Draft,
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

export function scopeOf({ principal, runId }: Draft) {
  return { tenant: principal.tenant, runId, principal: principal.id };
}
