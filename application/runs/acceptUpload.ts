import type { Readable } from 'node:stream';
import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { FormatManifest } from '../../domain/pipelines/manifest.ts';
import type { KnownKey } from '../../domain/ports/acceptance.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import type { Run } from '../../domain/runs/run.ts';
import type { Compression } from '../../domain/sources/compression.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { forget, scopeOf } from './acceptEnvelope.ts';
import { checkLimits } from './checkLimits.ts';
import { requestDigestOf, sameRun } from './idempotency.ts';
import { checkParameters, parametersFromQuery } from './parameters.ts';
import { acceptanceOf, draftRun, mintGrant, type RunCaller, type RunDraft } from './runDraft.ts';
import { type UploadBody, uploadBody } from './uploadBody.ts';

type Ports = Pick<
  ApplicationPorts,
  | 'acceptance'
  | 'uploads'
  | 'receiver'
  | 'inputs'
  | 'objects'
  | 'policy'
  | 'grantSigner'
  | 'limits'
  | 'limitedRates'
>;

/** What a request of this kind says. */
export interface UploadRequest {
  mediaType: string;
  /** Of the body, by its Content-Encoding. */
  compression: Compression | undefined;
  /** The parameters, as strings. */
  query: Record<string, unknown>;
  stream: Readable;
  /** `undefined` where the request does not say how long its body is. */
  sizeBytes: number | undefined;
  idempotencyKey: string | undefined;
}

/** An upload of which nothing arrives for so long is broken. */
export const idleMs = 60_000;
/** Others take an upload for broken after 30 s without a sign of it. */
const touchEveryMs = 5_000;
/** How often the sender is checked for revocation. */
const askEveryMs = 500;

/**
 * Accepts a run with the body as its data: resolve, draft, receive, mint, accept. A small upload is accepted when it is complete. A large
 * one is accepted with its first batch, so that validation begins, and its input is complete at its last byte; in between, each batch is
 * recorded once its bytes are durable.
 */
export async function acceptUpload(
  ports: Ports,
  options: ApplicationOptions,
  caller: RunCaller,
  upload: UploadRequest,
): Promise<Run> {
  const format = ports.inputs.format(caller.pipeline.manifest.source, upload.mediaType);
  const given = parametersFromQuery(caller.pipeline, upload.query);
  const parameters = await checkParameters(caller.pipeline, given);
  const source = { kind: caller.pipeline.manifest.source.kind };
  const draft = draftRun(caller, upload.idempotencyKey, { parameters, source });
  const cut = cutOnceRevoked(caller);
  const body = uploadBody(upload.stream, upload.sizeBytes, idleMs, cut.signal);
  const { mediaType, compression } = upload;
  const sentAs = compression ? `${mediaType} ${compression}` : mediaType;
  const requestDigest = () => requestDigestOf(draft, sentAs, given, body.digest());

  try {
    const known = draft.idempotency && (await ports.acceptance.findKey(draft.idempotency));
    if (known) return await repeated(known, body, requestDigest);
    await checkLimits(ports, caller);
    const received = await receive(ports, options, draft, format, upload.compression, body, requestDigest);
    return await ('known' in received ? repeated(received.known, body, requestDigest) : received);
  } finally {
    cut.stop();
  }
}

/** Aborts as `PrincipalRevoked`. While it cannot be known whether the sender is revoked, nothing is cut. */
export function cutOnceRevoked({ isRevoked }: Pick<RunCaller, 'isRevoked'>): {
  signal: AbortSignal;
  stop(): void;
} {
  const cut = new AbortController();
  const asking = setInterval(async () => {
    if (await isRevoked().catch(() => false)) {
      clearInterval(asking);
      cut.abort(new WaybillError('PrincipalRevoked'));
    }
  }, askEveryMs);
  return { signal: cut.signal, stop: () => clearInterval(asking) };
}

/** Only its last byte tells whether a body is the one that the key stands for. */
async function repeated(known: KnownKey, body: UploadBody, requestDigest: () => string): Promise<Run> {
  if (known.state === 'settled') for await (const _ of body.bytes);
  return sameRun(known, known.state === 'settled' ? requestDigest() : '');
}

async function receive(
  ports: Ports,
  options: ApplicationOptions,
  draft: RunDraft,
  format: FormatManifest,
  compression: Compression | undefined,
  body: UploadBody,
  requestDigest: () => string,
): Promise<Run | { known: KnownKey }> {
  const early: Batch[] = [];
  let opened: { stopTouching(): void } | undefined;
  let progress: Progress = 'receiving';
  const { limits } = draft.pipeline.manifest;
  const reception = ports.receiver.receive(scopeOf(draft), { format, limits, compression }, body.bytes);
  try {
    for await (const batch of reception) {
      if (opened) {
        await ports.uploads.appendBatch(scopeOf(draft), batch);
        continue;
      }
      early.push(batch);
      if (body.ended()) continue;
      progress = 'accepting';
      const outcome = await open(ports, options, draft, early);
      if ('known' in outcome) {
        await forget(ports, draft, early);
        return outcome;
      }
      opened = outcome;
      progress = 'accepted';
    }
    if (opened) {
      const sealed = auditOf(draft, 'run.upload-completed', { bytesDigest: body.digest() });
      return await ports.uploads.seal(scopeOf(draft), requestDigest(), sealed);
    }
    if (!reception.holdsData) throw new WaybillError('InputEmpty');
    const minted = await mintGrant(ports, options, draft, { batches: early });
    progress = 'accepting';
    const arrival = { batches: early, sealed: true, requestDigest: requestDigest() };
    const accepted = await ports.acceptance.accept(acceptanceOf(draft, minted, arrival));
    if (accepted.outcome === 'accepted') return accepted.run;
    await forget(ports, draft, early);
    return accepted;
  } catch (error) {
    await giveUp(ports, options, draft, { progress, early, broken: body.broken() });
    throw error;
  } finally {
    opened?.stopTouching();
  }
}

/** How far the acceptance has come; while it is `accepting`, a failure does not tell whether it came through. */
type Progress = 'receiving' | 'accepting' | 'accepted';

/** Accepts with the batches so far; until `stopTouching`, others see that the upload goes on. */
async function open(ports: Ports, options: ApplicationOptions, draft: RunDraft, batches: readonly Batch[]) {
  const minted = await mintGrant(ports, options, draft);
  const accepted = await ports.acceptance.accept(acceptanceOf(draft, minted, { batches, sealed: false }));
  if (accepted.outcome === 'known') return accepted;
  // A touch that fails is followed by the next; many that fail are what the 30 s are for.
  const touching = setInterval(() => void ports.uploads.touch(scopeOf(draft)).catch(() => {}), touchEveryMs);
  return { stopTouching: () => clearInterval(touching) };
}

/**
 * An accepted run with an upload that did not end fails as `UploadIncomplete`. An upload that broke before acceptance is recorded as
 * failed. A rejected request leaves nothing. Where the database is away too, reconciliation finds the silent upload.
 */
async function giveUp(
  ports: Ports,
  options: ApplicationOptions,
  draft: RunDraft,
  { progress, early, broken }: { progress: Progress; early: readonly Batch[]; broken: boolean },
): Promise<void> {
  if (progress === 'accepting') return;
  try {
    if (progress === 'accepted') {
      const audit = auditOf(draft, 'run.upload-broken', { code: 'UploadIncomplete' }, 'failure');
      return await ports.uploads.breakOff(scopeOf(draft), audit);
    }
    await forget(ports, draft, early);
    if (!broken) return;
    const minted = await mintGrant(ports, options, draft);
    const acceptance = acceptanceOf(draft, minted, { batches: [], sealed: false });
    const audit = auditOf(draft, 'run.upload-broken', { code: 'UploadIncomplete' }, 'failure');
    await ports.acceptance.recordFailed({ ...acceptance, audit }, 'UploadIncomplete');
  } catch {
    // The caller learns of the first failure; this one would hide it.
  }
}
