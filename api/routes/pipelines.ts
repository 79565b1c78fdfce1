import { z } from 'zod';
import { pipelineResourceOf } from '../../domain/policy.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { handler } from '../handler.ts';
import type { ApiPorts } from '../ports.ts';
import { jsonSchemaOf } from '../trigger/parameters.ts';

export const PipelineView = z.object({
  id: z.string(),
  version: z.int(),
  definitionDigest: z.string(),
  labels: z.record(z.string(), z.string()),
  source: z.looseObject({ kind: z.enum(['upload', 'inline', 'file', 'http']) }),
  sink: z.looseObject({ kind: z.string(), table: z.string() }),
  deadlineMs: z.int().describe('How long a run may take from its acceptance.'),
  links: z.object({ self: z.string(), runs: z.string().describe('POST here to begin a run.') }),
});

const PipelineDetail = PipelineView.extend({
  schemas: z
    .object({ parameters: z.record(z.string(), z.unknown()), input: z.record(z.string(), z.unknown()) })
    .describe('JSON Schemas (2020-12) of what a caller sends.'),
});

/** Only what the caller may read is listed. */
export function listPipelines({ definitions, policy }: ApiPorts) {
  return handler(
    {
      summary: 'Lists the pipelines',
      tags: ['pipelines'],
      response: { 200: z.object({ items: z.array(PipelineView), nextCursor: z.string().nullable() }) },
    },
    async ({ admission: { principal } }) => {
      const readable = definitions.list().filter(({ manifest }) => {
        const resource = pipelineResourceOf(manifest, principal.tenant);
        return policy.decide({ principal, action: 'read', resource }).allowed;
      });
      return { items: readable.map(viewOf), nextCursor: null };
    },
  );
}

export function getPipeline() {
  return handler(
    {
      summary: 'Shows a pipeline and what it expects',
      tags: ['pipelines'],
      params: z.object({ id: z.string() }),
      response: { 200: PipelineDetail },
    },
    async ({ admission }) => {
      const pipeline = admission.pipeline!;
      const schemas = { parameters: jsonSchemaOf(pipeline.parameters), input: jsonSchemaOf(pipeline.input) };
      return { ...viewOf(pipeline), schemas };
    },
  );
}

function viewOf({ manifest, digest }: LoadedPipeline): z.infer<typeof PipelineView> {
  const { id, version, labels, source, sink, deadlineMs } = manifest;
  const self = `/v1/pipelines/${id}`;
  return {
    id,
    version,
    definitionDigest: digest,
    labels,
    source: { ...source },
    sink: { ...sink },
    deadlineMs,
    links: { self, runs: `${self}/runs` },
  };
}
