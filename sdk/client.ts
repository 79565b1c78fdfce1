import createHttpClient, { type Client as HttpClient } from 'openapi-fetch';
import { followRun } from './followRun.ts';
import type { components, operations, paths } from './generated/openapi.d.ts';
import { ApiUnreachable, ProblemError, problemIn } from './problem.ts';

export { ApiUnreachable, type Problem, ProblemError } from './problem.ts';

export type Run = components['schemas']['Run'];
/** Records of a run by why they were refused. */
export type Rejections = operations['countRejections']['responses'][200]['content']['application/json'];
export type Pipeline = components['schemas']['Pipeline'];
export type PipelineDetail = operations['getPipeline']['responses'][200]['content']['application/json'];
export type Envelope = operations['createRun']['requestBody']['content']['application/json'];
/** Who one is to Waybill. */
export type Caller = operations['whoami']['responses'][200]['content']['application/json'];
export type Key = operations['rotateKeys']['responses'][201]['content']['application/json'];
/** An event that was sent, or is to be. */
export type Delivery = components['schemas']['Delivery'];
export type DeliveryFilter = NonNullable<operations['listDeliveries']['parameters']['query']>;
export type WebhookKey = operations['rotateWebhookKeys']['responses'][201]['content']['application/json'];
export type Revocation = components['schemas']['Revocation'];
export type MadeRevocation = operations['revoke']['responses'][201]['content']['application/json'];
export type RevocationFilter = NonNullable<operations['listRevocations']['parameters']['query']>;
export type Hypothesis = operations['explain']['requestBody']['content']['application/json'];
export type Explanation = components['schemas']['Explanation'];
/** A gate at which a run waits for people, or waited. */
export type Approval = components['schemas']['Approval'];
export type ApprovalDetail = components['schemas']['ApprovalDetail'];
export type ApprovalFilter = NonNullable<operations['listApprovals']['parameters']['query']>;
export type Decision = components['schemas']['Decision'];
/** With its `token`: what was signed. */
export type SignedDecision = components['schemas']['SignedDecision'];
export type DecisionRequest = operations['decide']['requestBody']['content']['application/json'];
export type Sample = operations['approvalSample']['responses'][200]['content']['application/json'];
/** What happened to a run, and who answers for it. */
export type AuditEvent =
  operations['listRunAudit']['responses'][200]['content']['application/json']['items'][number];
/** A recurring run that somebody consented to. */
export type Schedule = components['schemas']['Schedule'];
/** A schedule by itself, with the run that it waits for. */
export type ScheduleDetail = components['schemas']['ScheduleDetail'];
export type ScheduleFilter = NonNullable<operations['listSchedules']['parameters']['query']>;
export type ScheduleRequest = operations['createSchedule']['requestBody']['content']['application/json'];
export type ScheduleTerms = ScheduleRequest['terms'];
export type ScheduleTiming =
  operations['previewSchedule']['requestBody']['content']['application/json']['timing'];
type ScheduleDraft = Pick<ScheduleRequest, 'pipeline' | 'terms'>;
export type ScheduleChange = operations['updateSchedule']['requestBody']['content']['application/json'];
/** What became of one time of a schedule. */
export type Firing =
  operations['listFirings']['responses'][200]['content']['application/json']['items'][number];
export type BackfillRequest = operations['backfillSchedule']['requestBody']['content']['application/json'];
export type Backfill = operations['backfillSchedule']['responses'][200]['content']['application/json'];
export type RunFilter = NonNullable<operations['listRuns']['parameters']['query']>;

export interface Page<T> {
  items: T[];
  /** `null` on the last page. */
  nextCursor: string | null;
}

export interface WaybillClientOptions {
  /** Where the API is, such as `http://127.0.0.1:8080`. */
  baseUrl: string;
  /** An OIDC access token, or who gives one; asked before each request, so that it may be renewed. */
  token: string | (() => string | Promise<string>);
  /** Default: the global one. */
  fetch?: typeof globalThis.fetch;
}

export interface UploadOptions {
  /** `text/csv` or `application/x-ndjson`, as the pipeline’s source says. */
  mediaType: string;
  /** Go into the query as text; the API reads them by the pipeline’s schema. */
  parameters?: Readonly<Record<string, string | readonly string[]>>;
  /** The same request with the same key is the same run. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/**
 * Waybill over HTTP, typed from its OpenAPI document. Every method throws `ProblemError`, whose `code` says why, where
 * Waybill refuses, and `ApiUnreachable` where nobody answers.
 */
export interface WaybillClient {
  /** Every operation as the document has it; answers are returned, not thrown. */
  http: HttpClient<paths>;
  whoami(): Promise<Caller>;
  listPipelines(): Promise<Page<Pipeline>>;
  getPipeline(id: string): Promise<PipelineDetail>;
  /** Begins a run by reference, or with a few records. */
  trigger(pipeline: string, envelope: Envelope, options?: { idempotencyKey?: string }): Promise<Run>;
  /** Begins a run with data of any length, which is streamed. Resolves once its last byte is durable. */
  upload(pipeline: string, data: AsyncIterable<Uint8Array>, options: UploadOptions): Promise<Run>;
  listRuns(filter?: RunFilter): Promise<Page<Run>>;
  getRun(id: string): Promise<Run>;
  /** What happened to a run, oldest first. */
  /** Why records of a run were refused, of the first 10,000. */
  countRejections(id: string): Promise<Rejections>;
  listRunAudit(id: string, page?: { limit?: number; cursor?: string }): Promise<Page<AuditEvent>>;
  /** The keys that sign grants, newest first. */
  listKeys(): Promise<Page<Key>>;
  /** Adds a key, which soon takes the place of the one that signs now. */
  rotateKeys(): Promise<Key>;
  /** Adds a key that signs events, beside the one before until then. */
  rotateWebhookKeys(): Promise<WebhookKey>;
  /** The events that callbacks were told, or are to be, newest first. */
  listDeliveries(filter?: DeliveryFilter): Promise<Page<Delivery>>;
  getDelivery(id: string): Promise<Delivery>;
  /** Sends an event again that was given up or delivered, under the same id. */
  redeliver(id: string): Promise<Delivery>;
  /** Approvals of runs that you may read, newest first. `view`: those to decide, of your own runs, or that you have decided. */
  listApprovals(filter?: ApprovalFilter): Promise<Page<Approval>>;
  getApproval(id: string): Promise<ApprovalDetail>;
  /** Some of the rows that would be published, for whoever may see values. */
  approvalSample(id: string): Promise<Sample>;
  /** Decides about what `digest` names. The same again is the same decision. */
  decide(id: string, decision: DecisionRequest): Promise<SignedDecision>;
  /** The schedules of pipelines that you may read, by their ids. */
  listSchedules(filter?: ScheduleFilter): Promise<Page<Schedule>>;
  getSchedule(id: string): Promise<ScheduleDetail>;
  /** When a schedule would be due, before there is one. `count`: up to 100; `draft`: what is to be saved, refused as saving it would be. */
  previewSchedule(
    timing: ScheduleTiming,
    count?: number,
    draft?: ScheduleDraft,
  ): Promise<{ times: string[] }>;
  /** Has a pipeline run again and again in your name; with this you consent to it. */
  createSchedule(schedule: ScheduleRequest): Promise<Schedule>;
  /** What somebody else than its owner changes waits for their consent. With `revision`, only what was seen is changed. */
  updateSchedule(id: string, change: ScheduleChange): Promise<Schedule>;
  deleteSchedule(id: string): Promise<void>;
  pauseSchedule(id: string, options?: { note?: string }): Promise<Schedule>;
  resumeSchedule(id: string): Promise<Schedule>;
  /** Consents anew to what a schedule of yours does at that revision. `lifetime`: such as `30d`, at most and by default `90d`; `dryRun`: only says whether you may. */
  renewSchedule(
    id: string,
    revision: number,
    options?: { lifetime?: string; dryRun?: boolean },
  ): Promise<Schedule>;
  /** Begins a run as the schedule would, now and in your own name. */
  runSchedule(id: string, options?: { idempotencyKey?: string }): Promise<Run>;
  /** Begins runs for times that have passed, in your own name. */
  backfillSchedule(id: string, request: BackfillRequest): Promise<Backfill>;
  /** What became of its times, newest first. */
  listFirings(id: string, page?: { limit?: number; cursor?: string }): Promise<Page<Firing>>;
  /** Asks for the end of a run; follow it to see it end. */
  cancelRun(id: string): Promise<Run>;
  /** Has a suspended run ask whether it may go on; of whoever asked for it, under a new grant. */
  resumeRun(id: string): Promise<Run>;
  /** Withdraws a right; what is revoked already stays as it is. `id`: `prn_…`, of a grant its run’s, of a key its `kid`. */
  revoke(
    kind: Revocation['kind'],
    id: string,
    options?: { reason?: string; force?: boolean },
  ): Promise<MadeRevocation>;
  /** What is revoked; of the filter, `id` is who or what that is. */
  listRevocations(filter?: RevocationFilter): Promise<Page<Revocation>>;
  /** Gives a right back. `id`: that of the revocation. */
  restore(id: string): Promise<Revocation>;
  /** For administrators: what the policy in force would answer, why, and what would be needed. */
  explain(policyQuery: Hypothesis): Promise<Explanation>;
  /**
   * The run now and whenever it has changed, until it has ended or `signal` aborts. Reconnects by itself and gives up
   * after `patienceMs` (default 60 s) without a connection.
   */
  followRun(id: string, options?: { signal?: AbortSignal; patienceMs?: number }): AsyncGenerator<Run>;
}

export function createWaybillClient(options: WaybillClientOptions): WaybillClient {
  const { baseUrl, fetch = globalThis.fetch } = options;
  const token = async () => (typeof options.token === 'string' ? options.token : options.token());

  /** The one way out: with the token of now, and with failures that say what they are. */
  async function send(request: Request): Promise<Response> {
    request.headers.set('authorization', `Bearer ${await token()}`);
    try {
      return await fetch(request);
    } catch (error) {
      request.signal.throwIfAborted();
      throw new ApiUnreachable(baseUrl, error);
    }
  }

  const http = createHttpClient<paths>({ baseUrl, fetch: send });

  return {
    http,
    whoami: async () => answered(await http.GET('/v1/whoami')),
    listPipelines: async () => answered(await http.GET('/v1/pipelines')),
    getPipeline: async (id) => answered(await http.GET('/v1/pipelines/{id}', { params: { path: { id } } })),
    trigger: async (id, body, { idempotencyKey } = {}) =>
      answered(
        await http.POST('/v1/pipelines/{id}/runs', {
          params: { path: { id }, header: keyHeader(idempotencyKey) },
          body,
        }),
      ),
    upload: async (id, data, { mediaType, parameters = {}, idempotencyKey, signal }) => {
      const url = new URL(`${baseUrl.replace(/\/$/, '')}/v1/pipelines/${encodeURIComponent(id)}/runs`);
      for (const [name, value] of Object.entries(parameters))
        for (const one of [value].flat()) url.searchParams.append(name, one);
      const response = await send(
        new Request(url, {
          method: 'POST',
          headers: { 'content-type': mediaType, ...keyHeader(idempotencyKey) },
          body: ReadableStream.from(data),
          duplex: 'half',
          signal: signal ?? null,
        }),
      );
      return answered<Run>({ response, ...(await read(response)) });
    },
    listRuns: async (query = {}) => answered(await http.GET('/v1/runs', { params: { query } })),
    getRun: async (id) => answered(await http.GET('/v1/runs/{id}', { params: { path: { id } } })),
    countRejections: async (id) =>
      answered(await http.GET('/v1/runs/{id}/rejections', { params: { path: { id } } })),
    listRunAudit: async (id, query = {}) =>
      answered(await http.GET('/v1/runs/{id}/audit', { params: { path: { id }, query } })),
    listKeys: async () => answered(await http.GET('/v1/keys')),
    rotateKeys: async () => answered(await http.POST('/v1/keys/rotations')),
    resumeRun: async (id) => answered(await http.POST('/v1/runs/{id}/resume', { params: { path: { id } } })),
    rotateWebhookKeys: async () => answered(await http.POST('/v1/webhook-keys/rotations')),
    listDeliveries: async (query = {}) => answered(await http.GET('/v1/deliveries', { params: { query } })),
    getDelivery: async (id) => answered(await http.GET('/v1/deliveries/{id}', { params: { path: { id } } })),
    redeliver: async (id) =>
      answered(await http.POST('/v1/deliveries/{id}/redeliver', { params: { path: { id } } })),
    listApprovals: async (query = {}) => answered(await http.GET('/v1/approvals', { params: { query } })),
    getApproval: async (id) => answered(await http.GET('/v1/approvals/{id}', { params: { path: { id } } })),
    approvalSample: async (id) =>
      answered(await http.GET('/v1/approvals/{id}/sample', { params: { path: { id } } })),
    decide: async (id, body) =>
      answered(await http.POST('/v1/approvals/{id}/decisions', { params: { path: { id } }, body })),
    listSchedules: async (query = {}) => answered(await http.GET('/v1/schedules', { params: { query } })),
    getSchedule: async (id) => answered(await http.GET('/v1/schedules/{id}', { params: { path: { id } } })),
    previewSchedule: async (timing, count = 10, draft) =>
      answered(
        await http.POST('/v1/schedule-previews', { body: { timing, count, ...(draft && { draft }) } }),
      ),
    createSchedule: async (body) => answered(await http.POST('/v1/schedules', { body })),
    updateSchedule: async (id, body) =>
      answered(await http.PATCH('/v1/schedules/{id}', { params: { path: { id } }, body })),
    deleteSchedule: async (id) => {
      const { response, error } = await http.DELETE('/v1/schedules/{id}', { params: { path: { id } } });
      if (!response.ok) throw new ProblemError(problemIn(response, error));
    },
    pauseSchedule: async (id, { note } = {}) =>
      answered(
        await http.POST('/v1/schedules/{id}/pause', {
          params: { path: { id } },
          body: note === undefined ? {} : { note },
        }),
      ),
    resumeSchedule: async (id) =>
      answered(await http.POST('/v1/schedules/{id}/resume', { params: { path: { id } } })),
    renewSchedule: async (id, revision, { lifetime, dryRun = false } = {}) =>
      answered(
        await http.POST('/v1/schedules/{id}/renew', {
          params: { path: { id } },
          body: { revision, dryRun, ...(lifetime !== undefined && { lifetime }) },
        }),
      ),
    runSchedule: async (id, { idempotencyKey } = {}) =>
      answered(
        await http.POST('/v1/schedules/{id}/run', {
          params: { path: { id }, header: keyHeader(idempotencyKey) },
        }),
      ),
    backfillSchedule: async (id, body) =>
      answered(await http.POST('/v1/schedules/{id}/backfill', { params: { path: { id } }, body })),
    listFirings: async (id, query = {}) =>
      answered(await http.GET('/v1/schedules/{id}/firings', { params: { path: { id }, query } })),
    cancelRun: async (id) => answered(await http.POST('/v1/runs/{id}/cancel', { params: { path: { id } } })),
    revoke: async (kind, id, { reason, force = false } = {}) =>
      answered(
        await http.POST('/v1/revocations', {
          body: { kind, id, force, ...(reason !== undefined && { reason }) },
        }),
      ),
    listRevocations: async (query = {}) => answered(await http.GET('/v1/revocations', { params: { query } })),
    restore: async (id) => answered(await http.DELETE('/v1/revocations/{id}', { params: { path: { id } } })),
    explain: async (body) => answered(await http.POST('/v1/policy/explanations', { body })),
    followRun: (id, { signal = new AbortController().signal, patienceMs = 60_000 } = {}) =>
      followRun(
        async (lastId, signal) => {
          const { response, error } = await http.GET('/v1/runs/{id}/events', {
            params: { path: { id } },
            headers: { accept: 'text/event-stream', ...(lastId && { 'last-event-id': lastId }) },
            parseAs: 'stream',
            signal,
          });
          if (!response.ok) throw new ProblemError(problemIn(response, error));
          return response;
        },
        { at: baseUrl, signal, patienceMs },
      ),
  };
}

function keyHeader(key: string | undefined): { 'idempotency-key'?: string } {
  return key === undefined ? {} : { 'idempotency-key': key };
}

function answered<T>({ response, data, error }: { response: Response; data?: T; error?: unknown }): T {
  if (response.ok && data !== undefined) return data;
  throw new ProblemError(problemIn(response, error));
}

async function read(response: Response): Promise<{ data?: Run; error?: unknown }> {
  const body: unknown = await response.json().catch(() => undefined);
  return response.ok ? { data: body as Run } : { error: body };
}
