import { z } from 'zod';
import { readablePipelines } from '../../application/readable.ts';
import { jsonSchemaOf } from '../../application/runs/parameters.ts';
import { connectors } from '../../connectors/index.ts';
import { type ApprovalManifest, gates } from '../../domain/approvals/gate.ts';
import { scheduleLinksOf } from '../../domain/links.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { qualityKinds } from '../../domain/quality/quality.ts';
import { onBreaches } from '../../domain/quality/qualityTerms.ts';
import { ScheduleTerms } from '../../domain/schedules/schedule.ts';
import { redactSource } from '../../domain/sources/redactSource.ts';
import { byId, handler, pageOf } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

const SinkView = z.looseObject({ kind: z.string(), table: z.string() });

export const PipelineView = z.object({
  id: z.string(),
  version: z.int(),
  definitionDigest: z.string(),
  labels: z.record(z.string(), z.string()),
  source: z.looseObject({ kind: z.enum(connectors.sources.map(({ kind }) => kind)) }),
  sink: SinkView.extend({
    outputs: z
      .record(z.string(), SinkView)
      .optional()
      .describe('Of a pipeline with several outputs: what each writes to; `table` then names all tables.'),
  }),
  deadlineMs: z.int().describe('How long a run may take from its acceptance.'),
  links: z.object({
    self: z.string(),
    runs: z.string().describe('POST here to begin a run.'),
    quality: z.string(),
  }),
});

const PipelineDetail = PipelineView.extend({
  schemas: z
    .object({ parameters: z.record(z.string(), z.unknown()), input: z.record(z.string(), z.unknown()) })
    .describe('JSON Schemas (2020-12) of what a caller sends.'),
  approval: z
    .object({
      before: z.enum(gates),
      by: z.array(z.string()).describe('Roles of which an approver needs one.'),
      conditional: z
        .boolean()
        .describe('Whether it depends on the run if it waits; runs of agents always do.'),
      quorum: z.int(),
      withinMs: z.int(),
      onTimeout: z.enum(['reject', 'escalate']),
      escalateTo: z.array(z.string()),
      remindMs: z.int().nullable(),
      form: z
        .record(z.string(), z.unknown())
        .nullable()
        .describe('JSON Schema of what an approver fills in.'),
    })
    .nullable()
    .describe('The gate at which its runs wait for approval; `null`: they do not wait.'),
  quality: z
    .looseObject({
      onBreach: z.enum(onBreaches),
      rules: z.array(z.looseObject({ name: z.string(), kind: z.enum(qualityKinds) })),
    })
    .nullable()
    .describe('The rules about the rows of its runs; `null`: it has none.'),
  schedules: z
    .array(
      z.object({
        id: z.string(),
        terms: ScheduleTerms,
        note: z.string().nullable(),
        links: z.object({ self: z.string() }),
      }),
    )
    .describe('Declared with it. Each exists once a principal has applied it in their own name.'),
});

/** Only what the caller may read is listed. */
export function listPipelines(ports: ApiPorts) {
  return handler(
    {
      summary: 'Lists the pipelines',
      tags: ['pipelines'],
      response: { 200: pageOf(PipelineView) },
    },
    async ({ authorization: { principal } }) => ({
      items: readablePipelines(ports, principal).map(viewOf),
      nextCursor: null,
    }),
  );
}

export function getPipeline({ publicUrl }: ApiOptions) {
  return handler(
    {
      summary: 'Shows a pipeline and what it expects',
      tags: ['pipelines'],
      params: byId,
      response: { 200: PipelineDetail },
    },
    async ({ authorization }) => {
      const pipeline = authorization.pipeline!;
      const schemas = { parameters: jsonSchemaOf(pipeline.parameters), input: jsonSchemaOf(pipeline.input) };
      const { approval, quality, schedules = [] } = pipeline.manifest;
      return {
        ...viewOf(pipeline),
        schemas,
        approval: approval ? gateOf(approval) : null,
        quality: quality ? { ...quality, rules: quality.rules.map((rule) => ({ ...rule })) } : null,
        schedules: schedules.map(({ id, terms, note }) => ({
          ...{ id, terms, note: note ?? null },
          links: { self: scheduleLinksOf(id, publicUrl).self },
        })),
      };
    },
  );
}

/** All but the receiver of webhooks: that URL may hold a secret. */
function gateOf({ notify: _, by, escalateTo, remindMs, form, ...terms }: ApprovalManifest) {
  return {
    ...terms,
    by: [...by],
    escalateTo: [...escalateTo],
    remindMs: remindMs ?? null,
    form: form ?? null,
  };
}

function viewOf({ manifest, digest }: LoadedPipeline): z.infer<typeof PipelineView> {
  const { id, version, labels, source, sink, deadlineMs } = manifest;
  const self = `/v1/pipelines/${id}`;
  return {
    id,
    version,
    definitionDigest: digest,
    labels,
    source: redactSource(source),
    sink: { ...sink },
    deadlineMs,
    links: { self, runs: `${self}/runs`, quality: `${self}/quality` },
  };
}
