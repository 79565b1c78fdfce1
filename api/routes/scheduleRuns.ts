import { z } from 'zod';
import type { Attempt } from '../../domain/ports/firings.ts';
import type { Run } from '../../domain/runs/run.ts';
import { describeTerms } from '../../domain/schedules/delegation.ts';
import type { Schedule } from '../../domain/schedules/schedule.ts';
import type { Authorization } from '../gate.ts';
import { byId, handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';
import { RunView, runViewOf } from '../runView.ts';
import { loaded } from '../schedules/draft.ts';
import { envelopeOf } from '../schedules/envelope.ts';
import { sha256 } from '../sha256.ts';
import { type Call, callOf } from '../trigger/draft.ts';
import { triggerByEnvelope } from '../trigger/envelope.ts';
import { parseIdempotencyKey } from '../trigger/idempotency.ts';
import { mayRun } from '../trigger/mayRun.ts';

export function runSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Begins a run as the schedule would, now and in your name',
      description:
        'Not in the owner’s: it is your run, by your right. The times of the schedule are left as they are.',
      tags: ['schedules'],
      params: byId,
      headers: z.looseObject({
        'idempotency-key': z
          .string()
          .optional()
          .describe('The same request with the same key is the same run.'),
      }),
      response: { 202: RunView },
    },
    async ({ admission, request, reply }) => {
      await mayRun(ports, { ...admission, pipeline: loaded(admission) }, request);
      const key = parseIdempotencyKey(request.headers['idempotency-key']);
      // To the second, as times of schedules are.
      const at = new Date(Math.floor(Date.now() / 1000) * 1000).toISOString();
      const call = callOf(admission, request.traceId, key && `run/${admission.schedule!.id}/${sha256(key)}`);
      const run = await begin(ports, options, admission.schedule!, call, at, 'run');
      const view = runViewOf(run, options);
      return reply.code(202).header('location', view.links.self).send(view);
    },
  );
}

const backfillMax = 100;

export function backfillSchedule(ports: ApiPorts, options: ApiOptions) {
  return handler(
    {
      summary: 'Begins runs for times that have passed, in your name',
      description:
        `At most ${backfillMax} at once, oldest first. \`missing\`: times for which no run was begun; \`failed\`: those ` +
        'whose last run failed or was cancelled; `all`. Asked again, the same runs are the answer.',
      tags: ['schedules'],
      params: byId,
      body: z
        .strictObject({
          from: z.iso.datetime({ offset: true }),
          to: z.iso.datetime({ offset: true }),
          mode: z.enum(['missing', 'failed', 'all']).default('missing'),
          dryRun: z.boolean().default(false).describe('Only says which times.'),
        })
        .refine(({ from, to }) => Date.parse(from) <= Date.parse(to), {
          path: ['to'],
          error: 'It ends before it begins.',
        }),
      response: {
        200: z.object({
          items: z.array(z.object({ at: z.iso.datetime(), run: z.string().nullable() })),
          more: z.boolean().describe('There are more times in the range. Ask again from after the last.'),
        }),
      },
    },
    async ({ body: { from, to, mode, dryRun }, admission, request }) => {
      await mayRun(ports, { ...admission, pipeline: loaded(admission) }, request);
      const schedule = admission.schedule!;
      const toMs = Math.min(Date.parse(to), Date.now());
      const range = { fromMs: Date.parse(from), toMs };
      const { timesMs, complete } = await ports.temporalSchedules.times(schedule.terms, range);
      const attempts = await ports.firings.listAttempts(schedule.tenant, schedule.id, {
        from,
        to: new Date(toMs).toISOString(),
      });
      const wanted = timesMs
        .map((ms) => new Date(ms).toISOString())
        .map((at) => ({ at, last: attempts.findLast(({ nominalAt }) => nominalAt === at) }))
        .filter(({ last }) => isWanted(mode, last));
      const items: { at: string; run: string | null }[] = [];
      for (const { at, last } of wanted.slice(0, backfillMax)) {
        const run = dryRun
          ? null
          : await fill(ports, options, admission, request.traceId, { at, mode, last });
        items.push({ at, run: run?.id ?? null });
      }
      return { items, more: !complete || wanted.length > backfillMax };
    },
  );
}

type Mode = 'missing' | 'failed' | 'all';

function isWanted(mode: Mode, last: Attempt | undefined): boolean {
  if (mode === 'missing') return !last;
  return mode === 'all' || last?.state === 'failed' || last?.state === 'cancelled';
}

/** One run for one time, of whoever asks: what was asked for once is not begun again, unless it has failed since. */
async function fill(
  ports: ApiPorts,
  options: ApiOptions,
  admission: Authorization,
  txn: string,
  { at, mode, last }: { at: string; mode: Mode; last: Attempt | undefined },
): Promise<Run> {
  const schedule = admission.schedule!;
  const instead = mode === 'failed' ? last!.runId : mode;
  const key = sha256(JSON.stringify([at, instead, describeTerms(schedule)]));
  const call = callOf(admission, txn, `backfill/${schedule.id}/${key}`);
  const run = await begin(ports, options, schedule, call, at, 'backfill');
  await ports.firings.recordBackfill(schedule.tenant, schedule.id, at, run.id);
  return run;
}

function begin(
  ports: ApiPorts,
  options: ApiOptions,
  schedule: Schedule,
  call: Call,
  at: string,
  way: string,
): Promise<Run> {
  const digest = sha256(
    JSON.stringify([way, schedule.id, way === 'backfill' ? at : '', describeTerms(schedule)]),
  );
  return triggerByEnvelope(ports, options, call, envelopeOf(schedule, at), digest);
}
