import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { auditOf } from '../../domain/audit.ts';
import { WaybillError } from '../../domain/errors.ts';
import type { InputPart, RunInput, TakenInput } from '../../domain/ports/runInputs.ts';
import type { Run, RunRef } from '../../domain/runs/run.ts';
import type { Compression } from '../../domain/sources/compression.ts';
import { type Authorization, rejectInput } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { cutOnceRevoked, idleMs } from './acceptUpload.ts';
import { InputTail } from './inputTail.ts';
import { type UploadBody, uploadBody } from './uploadBody.ts';

type Ports = Pick<ApplicationPorts, 'runInputs' | 'receiver' | 'inputs' | 'objects' | 'policy' | 'auditLog'>;

/** What a request says that sends a part of the input of a run. */
export interface InputRequest {
  /** Where in the input its body begins. */
  offsetBytes: number;
  /** Whether the input ends with its body. */
  complete: boolean;
  /** Of the whole input, where the request says so. */
  lengthBytes: number | undefined;
  /** `undefined`: the format of the pipeline. */
  mediaType: string | undefined;
  /** Of the whole input; positions count the compressed bytes. */
  compression: Compression | undefined;
  /** `undefined`: nothing. */
  stream: Readable | undefined;
  sizeBytes: number | undefined;
}

/** How far the input of a run is durable. */
export interface InputOffset extends Pick<RunInput, 'receivedBytes' | 'lengthBytes' | 'expiresAt'> {
  complete: boolean;
  /** The largest input that is taken. */
  maxBytes: number;
}

/** For the requester alone. Throws `Forbidden`, `NotFound`, `RunEnded`. */
export async function findInputOffset(
  ports: Pick<Ports, 'runInputs' | 'policy' | 'auditLog'>,
  caller: Authorization,
): Promise<InputOffset> {
  await checkRequester(ports, caller);
  const input = await ports.runInputs.find(scopeOf(caller));
  if (!input) throw new WaybillError('NotFound', { detail: 'the run has no input of its own' });
  if (input.state === 'ended') throw new WaybillError('RunEnded');
  return offsetOf(input);
}

function offsetOf(input: RunInput): InputOffset {
  const { receivedBytes, lengthBytes, expiresAt, state, manifest } = input;
  const maxBytes = manifest.limits.decompressedBytes;
  return { receivedBytes, lengthBytes, expiresAt, complete: state === 'complete', maxBytes };
}

/**
 * Takes a part of the input of a run: check, take, receive, note how far it is durable. The run starts with its first batch.
 * What a request that broke off has sent stays: batches, and what is behind the last of them. Resolves with the run once the input is
 * complete. Throws `Forbidden`, `NotFound`, `RunEnded`, `UploadCompleted`, `UploadOffsetMismatch`, `UploadLengthMismatch`,
 * `UploadInterrupted`, `UploadSuperseded`, `PrincipalRevoked`, `RequestTooLarge`, `UnsupportedMediaType`, `InputEmpty`, and what the
 * receiver throws: data that is of no use ends the upload.
 */
export async function receiveInput(
  ports: Ports,
  caller: Authorization,
  request: InputRequest,
): Promise<{ offset: InputOffset; run?: Run }> {
  await checkRequester(ports, caller);
  const run = scopeOf(caller);
  const holder = randomUUID();
  const cut = cutOnceRevoked(caller);
  const superseded = new AbortController();
  const asking = setInterval(async () => {
    if (await ports.runInputs.isHeldBy(run, holder).catch(() => true)) return;
    superseded.abort(new WaybillError('UploadSuperseded'));
  }, askEveryMs);
  try {
    const input = await take(ports, run, holder, request);
    const signal = AbortSignal.any([cut.signal, superseded.signal]);
    const body = uploadBody(request.stream ?? Readable.from([]), request.sizeBytes, idleMs, signal);
    const reception = new InputReception(ports, caller, request, input, body, holder);
    return await reception.receive();
  } finally {
    clearInterval(asking);
    cut.stop();
  }
}

/** How often a request asks whether another one has taken its place. */
const askEveryMs = 2_000;

/** The data of a run is for its requester alone, whatever others may do. */
async function checkRequester(
  ports: Pick<Ports, 'policy' | 'auditLog'>,
  { principal, run, txn }: Authorization,
): Promise<void> {
  const { id, actor } = run!.requestedBy;
  if (id === principal.id && actor?.id === principal.actor?.id) return;
  await rejectInput(ports, { principal, run, txn });
}

function scopeOf({ principal, run }: Authorization): RunRef & { principal: string } {
  return { tenant: principal.tenant, runId: run!.id, principal: principal.id };
}

async function take(
  { runInputs, inputs }: Ports,
  run: RunRef,
  holder: string,
  request: InputRequest,
): Promise<TakenInput> {
  const { offsetBytes, lengthBytes, compression, mediaType, complete, sizeBytes } = request;
  const found = await runInputs.find(run);
  if (!found) throw new WaybillError('NotFound', { detail: 'the run has no input of its own' });
  if (mediaType !== undefined) inputs.format(found.manifest.source, mediaType);
  // Where the last part says how long it is, the whole has a length before its first byte.
  const whole = lengthBytes ?? (complete && sizeBytes !== undefined ? offsetBytes + sizeBytes : undefined);
  if (whole !== undefined && whole > found.manifest.limits.decompressedBytes)
    throw new WaybillError('RequestTooLarge');
  const taken = await runInputs.take(run, holder, { offsetBytes, compression, lengthBytes });
  if (taken) return taken;
  const now = (await runInputs.find(run)) ?? found;
  if (now.state === 'complete') throw new WaybillError('UploadCompleted');
  if (now.state === 'ended') throw new WaybillError('RunEnded');
  if (now.receivedBytes !== offsetBytes)
    throw new WaybillError('UploadOffsetMismatch', {
      offsets: { expected: now.receivedBytes, provided: offsetBytes },
    });
  if (lengthBytes !== undefined && now.lengthBytes !== undefined && lengthBytes !== now.lengthBytes)
    throw new WaybillError('UploadLengthMismatch');
  throw new WaybillError('UnsupportedMediaType', {
    issues: [{ path: 'content-encoding', message: 'Compress all parts of an upload as the first.' }],
  });
}

/** A part of the input that arrives as one object of its own, where only the whole can be cut into batches. */
const partBytes = 8 * 1024 * 1024;
const partsMax = 10_000;
/** So little behind the last batch becomes no batch of its own. */
const tailBytes = 256 * 1024;

/** One request while it is read. */
class InputReception {
  readonly #ports: Ports;
  readonly #caller: Authorization;
  readonly #request: InputRequest;
  readonly #input: TakenInput;
  readonly #body: UploadBody;
  readonly #holder: string;
  readonly #run: RunRef & { principal: string };
  #receivedBytes: number;
  #interrupted: unknown;

  constructor(
    ports: Ports,
    caller: Authorization,
    request: InputRequest,
    input: TakenInput,
    body: UploadBody,
    holder: string,
  ) {
    this.#ports = ports;
    this.#caller = caller;
    this.#request = request;
    this.#input = input;
    this.#body = body;
    this.#holder = holder;
    this.#run = scopeOf(caller);
    this.#receivedBytes = input.receivedBytes;
  }

  async receive(): Promise<{ offset: InputOffset; run?: Run }> {
    try {
      const run = this.#isCutOnArrival ? await this.#receiveBatches() : await this.#receiveParts();
      const state = run ? 'complete' : 'open';
      const offset = offsetOf({ ...this.#input, receivedBytes: this.#receivedBytes, state });
      return { offset, ...(run && { run }) };
    } catch (error) {
      if (isOfData(error)) await this.#breakOff(error);
      throw error;
    }
  }

  get #isCutOnArrival(): boolean {
    return this.#ports.receiver.receive(this.#run, this.#received, nothing()).resumable;
  }

  get #received() {
    const { manifest, compression } = this.#input;
    return { format: this.#ports.inputs.sentFormat(manifest.source), limits: manifest.limits, compression };
  }

  /** Batches are durable as they end; what is behind the last one when the request ends is kept in the row of the input. */
  async #receiveBatches(): Promise<Run | undefined> {
    const { last, tail: before, manifest } = this.#input;
    let end = last ? last.firstByte + last.sizeBytes : 0;
    const tail = new InputTail(end, 2 * (manifest.limits.recordBytes + tailBytes));
    const reception = this.#ports.receiver.receive(
      this.#run,
      {
        ...this.#received,
        after: last,
        atEnd: () => (this.#isComplete ? 'end' : tail.end - end > tailBytes ? 'cut' : 'leave'),
      },
      tail.watch(this.#arriving(before)),
    );
    for await (const batch of reception) {
      end = batch.firstByte + batch.sizeBytes;
      // A batch may end before what was durable already, where the record behind it turned out to be too large.
      const durable =
        end < this.#input.receivedBytes ? tail.bytesFrom(end, this.#input.receivedBytes) : undefined;
      tail.drop(end);
      await this.#advance(end + (durable?.length ?? 0), { batch, tail: durable });
    }
    if (this.#isComplete) {
      if (!reception.holdsData && !last) throw new WaybillError('InputEmpty');
      this.#receivedBytes = tail.end;
      return this.#seal();
    }
    const rest = tail.bytesFrom(end);
    await this.#advance(end + (rest?.length ?? 0), { tail: rest });
    return this.#pause();
  }

  /** Keeps what arrives as it is, in parts that are durable as they end, and cuts the batches once all of it is there. */
  async #receiveParts(): Promise<Run | undefined> {
    const { objects } = this.#ports;
    const parts: InputPart[] = [...this.#input.parts];
    let writer: Awaited<ReturnType<typeof objects.create>> | undefined;
    let openBytes = 0;
    const endPart = async () => {
      if (!writer) return;
      if (parts.length === partsMax)
        throw new WaybillError('RequestTooLarge', { detail: `more than ${partsMax} parts` });
      parts.push(await writer.finish());
      writer = undefined;
      openBytes = 0;
      await this.#advance(sizeOf(parts), { parts });
    };
    try {
      for await (const chunk of this.#arriving()) {
        writer ??= await objects.create(this.#run);
        await writer.write(chunk);
        openBytes += chunk.length;
        if (openBytes >= partBytes) await endPart();
      }
      await endPart();
    } finally {
      await writer?.abort();
    }
    if (!this.#isComplete) return this.#pause();
    if (parts.length === 0) throw new WaybillError('InputEmpty');
    const reception = this.#ports.receiver.receive(this.#run, this.#received, this.#read(parts));
    for await (const batch of reception) await this.#advance(sizeOf(parts), { batch, parts });
    if (!reception.holdsData) throw new WaybillError('InputEmpty');
    return this.#seal();
  }

  async *#read(parts: readonly InputPart[]): AsyncGenerator<Uint8Array, void, void> {
    for (const { digest } of parts) yield await this.#ports.objects.get(this.#run, digest);
  }

  /** Ends where the request does, also where it breaks off: what arrived before that is good. */
  async *#arriving(before?: Uint8Array): AsyncGenerator<Uint8Array, void, void> {
    const { limits } = this.#input.manifest;
    let total = this.#input.receivedBytes;
    if (before) yield before;
    try {
      for await (const chunk of this.#body.bytes) {
        total += chunk.length;
        if (total > limits.decompressedBytes) throw new WaybillError('RequestTooLarge');
        yield chunk;
      }
    } catch (error) {
      if (!this.#body.broken()) throw error;
      this.#interrupted = error;
      return;
    }
    const { lengthBytes = this.#input.lengthBytes, complete } = this.#request;
    if (lengthBytes === undefined) return;
    if (complete ? total !== lengthBytes : total > lengthBytes) this.#interrupted = lengthMismatch();
  }

  get #isComplete(): boolean {
    return this.#request.complete && this.#interrupted === undefined;
  }

  /** What arrived is durable, and the rest is for another request. */
  #pause(): undefined {
    if (this.#interrupted instanceof WaybillError && this.#interrupted.code === 'UploadLengthMismatch')
      throw this.#interrupted;
    if (this.#interrupted !== undefined)
      throw new WaybillError('UploadInterrupted', { cause: this.#interrupted });
  }

  async #advance(
    receivedBytes: number,
    progress: Omit<Parameters<Ports['runInputs']['advance']>[2], 'receivedBytes'>,
  ): Promise<void> {
    await this.#ports.runInputs.advance(this.#run, this.#holder, { ...progress, receivedBytes });
    this.#receivedBytes = receivedBytes;
  }

  async #seal(): Promise<Run> {
    const detail = { sizeBytes: this.#receivedBytes };
    const audit = auditOf(this.#audited, 'run.upload-completed', detail);
    const { run, unnamed } = await this.#ports.runInputs.seal(this.#run, this.#holder, audit);
    // Those that stay are orphans, which the sweep removes.
    if (unnamed.length > 0) await this.#ports.objects.remove(this.#run, unnamed).catch(() => {});
    return run;
  }

  /** The caller learns of the first failure; one of these would hide it. */
  async #breakOff({ code }: WaybillError): Promise<void> {
    const audit = auditOf(this.#audited, 'run.upload-broken', { code }, 'failure');
    await this.#ports.runInputs.breakOff(this.#run, this.#holder, audit).catch(() => {});
  }

  get #audited() {
    const { principal, txn } = this.#caller;
    return { principal, runId: this.#run.runId, txn };
  }
}

const useless: readonly string[] = [
  'HeaderInvalid',
  'FormatMismatch',
  'DecompressionFailed',
  'DecompressedTooLarge',
  'InputEmpty',
  'RequestTooLarge',
];

/** Whether the same bytes would fail again. */
function isOfData(error: unknown): error is WaybillError {
  return error instanceof WaybillError && useless.includes(error.code);
}

function lengthMismatch(): WaybillError {
  return new WaybillError('UploadLengthMismatch');
}

function sizeOf(parts: readonly InputPart[]): number {
  return parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

async function* nothing(): AsyncGenerator<Uint8Array, void, void> {}
