import type { components, operations } from '../generated/openapi.d.ts';
import { answered, type Connection, keyHeader, type Page } from './connection.ts';

type Json<Operation extends keyof operations, Status extends number> = operations[Operation] extends {
  responses: { [S in Status]: { content: { 'application/json': infer Body } } };
}
  ? Body
  : never;
type Body<Operation extends keyof operations> = operations[Operation] extends {
  requestBody: { content: { 'application/json': infer Sent } };
}
  ? Sent
  : never;

/** A rejected record, without its value. */
export type DeadLetter = components['schemas']['DeadLetter'];
/** With its value, for callers who may reveal values. */
export type DeadLetterDetail = Json<'getDeadLetter', 200>;
export type DeadLetterFilter = Omit<
  NonNullable<operations['listDeadLetters']['parameters']['query']>,
  'groupBy'
>;
/** How many letters there are of a kind. */
export type DeadLetterGroup = NonNullable<Json<'listDeadLetters', 200>['groups']>[number];
export type DeadLetterEdit = Body<'repairDeadLetter'>;
export type RepairedLetter = Json<'repairDeadLetter', 200>;
/** Letters of one pipeline, by `ids` or by a `filter`. */
export type RedriveRequest = Omit<Body<'redriveDeadLetters'>, 'dryRun'>;
export type RedrivePreview = Json<'redriveDeadLetters', 200>;
export type DiscardRequest = Body<'discardDeadLetters'>;
export type Discarded = Json<'discardDeadLetters', 200>;

/** Fields to set, or a JSON Patch, for letters of one pipeline. */
export type RepairRequest = Body<'repairDeadLetters'>;
export type RepairStep = Json<'repairDeadLetters', 200>;

/** What happened to a rejected record, in which run, and who answers for it. */
export type LetterEvent = Json<'listLetterAudit', 200>['items'][number];

export interface DeadLettersClient {
  /** Rejected records of runs that you may read, newest first. */
  listDeadLetters(filter?: DeadLetterFilter): Promise<Page<DeadLetter>>;
  /** How many there are of each kind: `by` names one or more of `code`, `path`, `pipeline`, `run`, `state`. */
  groupDeadLetters(
    by: readonly string[],
    filter?: Omit<DeadLetterFilter, 'limit' | 'cursor'>,
  ): Promise<DeadLetterGroup[]>;
  /** With its value, where you may reveal values. Each such look is audited; `value: false` leaves it out. */
  getDeadLetter(id: string, options?: { value?: boolean }): Promise<DeadLetterDetail>;
  /** From its rejection to its row, oldest first. */
  listLetterAudit(id: string, page?: { limit?: number; cursor?: string }): Promise<Page<LetterEvent>>;
  /** Tries a corrected record with the current definition, and keeps it where it fits. */
  repairDeadLetter(id: string, edit: DeadLetterEdit): Promise<RepairedLetter>;
  /** Edits up to 500 letters by a rule; `nextCursor` is for the next ones. */
  repairDeadLetters(request: RepairRequest): Promise<RepairStep>;
  /** Sends open letters through their pipeline again, as a run under your grant. */
  redriveDeadLetters(
    request: RedriveRequest,
    options?: { idempotencyKey?: string },
  ): Promise<components['schemas']['Run']>;
  /** What `redriveDeadLetters` would send. */
  previewRedrive(request: RedriveRequest): Promise<RedrivePreview>;
  /** Gives letters up for good; with `dryRun` it counts them. */
  discardDeadLetters(request: DiscardRequest): Promise<Discarded>;
}

export function deadLettersClient({ http }: Connection): DeadLettersClient {
  return {
    listDeadLetters: async (query = {}) =>
      answered(await http.GET('/v1/dead-letters', { params: { query } })),
    groupDeadLetters: async (by, filter = {}) => {
      const query = { ...filter, groupBy: by.join(',') };
      return answered(await http.GET('/v1/dead-letters', { params: { query } })).groups ?? [];
    },
    getDeadLetter: async (id, { value = true } = {}) =>
      answered(
        await http.GET('/v1/dead-letters/{id}', {
          params: { path: { id }, query: { value: value ? 'true' : 'false' } },
        }),
      ),
    listLetterAudit: async (id, query = {}) =>
      answered(await http.GET('/v1/dead-letters/{id}/audit', { params: { path: { id }, query } })),
    repairDeadLetter: async (id, body) =>
      answered(await http.PATCH('/v1/dead-letters/{id}', { params: { path: { id } }, body })),
    repairDeadLetters: async (body) => answered(await http.POST('/v1/dead-letters/repair', { body })),
    redriveDeadLetters: async (body, { idempotencyKey } = {}) =>
      answered(
        await http.POST('/v1/dead-letters/redrive', { body, params: { header: keyHeader(idempotencyKey) } }),
      ) as components['schemas']['Run'],
    previewRedrive: async (body) =>
      answered(
        await http.POST('/v1/dead-letters/redrive', { body: { ...body, dryRun: true } }),
      ) as RedrivePreview,
    discardDeadLetters: async (body) => answered(await http.POST('/v1/dead-letters/discard', { body })),
  };
}
