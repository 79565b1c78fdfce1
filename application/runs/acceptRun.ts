import { WaybillError } from '../../domain/errors.ts';
import type { Run } from '../../domain/runs/run.ts';
import { singleFlight } from '../../domain/singleFlight.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { acceptEnvelope, type EnvelopeRequest } from './acceptEnvelope.ts';
import { acceptFiring, type FiringRequest } from './acceptFiring.ts';
import { acceptLetters, type LettersRequest } from './acceptLetters.ts';
import { acceptRetry, type RetryRequest } from './acceptRetry.ts';
import { acceptUpload, type UploadRequest } from './acceptUpload.ts';
import type { RunCaller } from './runDraft.ts';

/** A request for a run: by an envelope, by the data itself, by a time of a schedule, or by dead letters. */
export type RunRequest =
  | ({ kind: 'envelope' } & EnvelopeRequest)
  | ({ kind: 'upload' } & UploadRequest)
  | ({ kind: 'firing' } & FiringRequest)
  | ({ kind: 'letters' } & LettersRequest)
  | ({ kind: 'retry' } & RetryRequest);

/**
 * The one way in which a run begins, for a caller who was authorized for all of its steps before (`authorizeRun`, or the
 * standing consent of an owner). One transaction records run, grant, audit event and outbox entry; the relay starts the workflow.
 * Only a firing gets the signed grant as an answer, because Temporal has started its workflow already.
 *
 * Throws `ParametersInvalid`, `SourceInvalid`, `SourceRefused`, `CallbackRefused`, `InputRequired`, `InputEmpty`, `HeaderInvalid`,
 * `UnsupportedMediaType`, `UploadIncomplete`, `IdempotencyKeyInUse`, `IdempotencyKeyReused`, `PrincipalRevoked`,
 * `TooManyRequests`, `LimitReached`, `FiringUnavailable`, `PipelineRefused`, `DatabaseUnavailable`, `StorageUnavailable`, `KeysUnavailable`.
 */
export async function acceptRun(
  ports: Pick<
    ApplicationPorts,
    | 'deployments'
    | 'acceptance'
    | 'uploads'
    | 'runInputs'
    | 'receiver'
    | 'objects'
    | 'policy'
    | 'grantSigner'
    | 'inputs'
    | 'checkCallback'
    | 'deadLetters'
    | 'runs'
    | 'definitions'
    | 'auditLog'
    | 'limits'
    | 'limitedRates'
  >,
  options: ApplicationOptions,
  caller: RunCaller,
  request: RunRequest,
): Promise<{ run: Run; grant?: string }> {
  await checkDeployment(ports, caller);
  if (request.kind === 'firing') return acceptFiring(ports, options, caller, request);
  if (request.kind === 'retry') return { run: await acceptRetry(ports, options, caller, request) };
  if (request.kind === 'upload') return { run: await acceptUpload(ports, options, caller, request) };
  const { principal, pipeline } = caller;
  const accept = () =>
    request.kind === 'letters'
      ? acceptLetters(ports, options, caller, request)
      : acceptEnvelope(ports, options, caller, request);
  if (request.idempotencyKey === undefined) return { run: await accept() };
  const key = [principal.tenant, principal.id, pipeline.manifest.id, request.idempotencyKey].join(' ');
  return { run: await inTurn(key, accept) };
}

const inTurn = singleFlight();

/** A pipeline that did not fit what it writes to would fail at its first batch. */
async function checkDeployment(
  { deployments }: Pick<ApplicationPorts, 'deployments'>,
  { principal, pipeline: { manifest, digest } }: RunCaller,
): Promise<void> {
  const refusal = await deployments.findRefusal(principal.tenant, manifest.id, digest);
  if (!refusal) return;
  const message = `${refusal.code}: ${refusal.message}.`;
  throw new WaybillError('PipelineRefused', { publicDetail: message, issues: [{ path: '', message }] });
}
