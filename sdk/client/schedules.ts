import type { components, operations } from '../generated/openapi.d.ts';
import { answered, type Connection, keyHeader, type Page } from './connection.ts';
import { ProblemError, problemIn } from './problem.ts';
import type { Run } from './runs.ts';

/** A recurring run, to which its owner consented. */
export type Schedule = components['schemas']['Schedule'];
/** A schedule by itself, with the run that it waits for. */
export type ScheduleDetail = components['schemas']['ScheduleDetail'];
export type ScheduleFilter = NonNullable<operations['listSchedules']['parameters']['query']>;
export type ScheduleRequest = operations['createSchedule']['requestBody']['content']['application/json'];
export type ScheduleTerms = ScheduleRequest['terms'];
export type ScheduleTiming =
  operations['previewSchedule']['requestBody']['content']['application/json']['timing'];
type ScheduleDraft = Pick<ScheduleRequest, 'pipeline' | 'terms' | 'lifetime'>;
/** The next times, and what may surprise. */
export type SchedulePreview = operations['previewSchedule']['responses'][200]['content']['application/json'];
export type ScheduleChange = operations['updateSchedule']['requestBody']['content']['application/json'];
/** What became of one time of a schedule. */
export type Firing =
  operations['listFirings']['responses'][200]['content']['application/json']['items'][number];
export type BackfillRequest = operations['backfillSchedule']['requestBody']['content']['application/json'];
export type Backfill = operations['backfillSchedule']['responses'][200]['content']['application/json'];

export interface SchedulesClient {
  /** The schedules of pipelines that you may read, by their ids. */
  listSchedules(filter?: ScheduleFilter): Promise<Page<Schedule>>;
  getSchedule(id: string): Promise<ScheduleDetail>;
  /** When a schedule would be due, before there is one. `count`: up to 100; `draft`: what is to be saved, refused as saving it would be. */
  previewSchedule(timing: ScheduleTiming, count?: number, draft?: ScheduleDraft): Promise<SchedulePreview>;
  /** Has a pipeline run again and again in your name; with this you consent to it. */
  createSchedule(schedule: ScheduleRequest): Promise<Schedule>;
  /** A change of another caller waits for the owner’s consent. With `revision`, the API rejects it if the schedule has changed since. */
  updateSchedule(id: string, change: ScheduleChange): Promise<Schedule>;
  deleteSchedule(id: string): Promise<void>;
  pauseSchedule(id: string, options?: { note?: string }): Promise<Schedule>;
  resumeSchedule(id: string): Promise<Schedule>;
  /** Renews your consent to one of your schedules at that revision. `lifetime`: such as `30d`, at most and by default `90d`; `dryRun`: only says whether you may. */
  renewSchedule(
    id: string,
    revision: number,
    options?: { lifetime?: string; dryRun?: boolean },
  ): Promise<Schedule>;
  /** Begins a run as the schedule would, now and in your own name. */
  runSchedule(id: string, revision: number, options?: { idempotencyKey?: string }): Promise<Run>;
  /** Begins runs for times that have passed, in your own name. */
  backfillSchedule(id: string, request: BackfillRequest): Promise<Backfill>;
  /** What became of its times, newest first. */
  listFirings(id: string, page?: { limit?: number; cursor?: string }): Promise<Page<Firing>>;
}

/** Schedules and their times. */
export function schedulesClient({ http }: Connection): SchedulesClient {
  return {
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
    runSchedule: async (id, revision, { idempotencyKey } = {}) =>
      answered(
        await http.POST('/v1/schedules/{id}/run', {
          params: { path: { id }, header: keyHeader(idempotencyKey) },
          body: { revision },
        }),
      ),
    backfillSchedule: async (id, body) =>
      answered(await http.POST('/v1/schedules/{id}/backfill', { params: { path: { id } }, body })),
    listFirings: async (id, query = {}) =>
      answered(await http.GET('/v1/schedules/{id}/firings', { params: { path: { id }, query } })),
  };
}
