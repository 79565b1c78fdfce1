import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { OpenAPIV3_1 } from 'openapi-types';
import { z } from 'zod';
import { Envelope } from '../application/runs/acceptEnvelope.ts';
import { connectors } from '../connectors/index.ts';
import {
  ApprovalEventData,
  RunEventData,
  ScheduleEventData,
  webhookEvents,
} from '../domain/webhooks/webhookEvent.ts';
import { ApprovalDetail, ApprovalView, DecisionView, SignedDecisionView } from './approvalView.ts';
import { DeadLetterView } from './letterView.ts';
import type { ApiOptions } from './ports.ts';
import { Problem } from './problem.ts';
import { DeliveryView } from './routes/deliveries.ts';
import { ExplanationView } from './routes/explanations.ts';
import { LegalHoldView } from './routes/legalHolds.ts';
import { LimitView } from './routes/limits.ts';
import { PipelineView } from './routes/pipelines.ts';
import { RevocationView } from './routes/revocations.ts';
import { RunView } from './runView.ts';
import { FiringView, ScheduleDetail, ScheduleView } from './scheduleView.ts';

/** Schemas that the document names once; a registry of our own, since pipelines may register theirs globally. */
const named = z.registry<{ id: string }>();
named.add(RunView, { id: 'Run' });
named.add(Problem, { id: 'Problem' });
named.add(PipelineView, { id: 'Pipeline' });
named.add(RevocationView, { id: 'Revocation' });
named.add(LegalHoldView, { id: 'LegalHold' });
named.add(LimitView, { id: 'Limit' });
named.add(ExplanationView, { id: 'Explanation' });
named.add(DeliveryView, { id: 'Delivery' });
named.add(DeadLetterView, { id: 'DeadLetter' });
named.add(ApprovalView, { id: 'Approval' });
named.add(ApprovalDetail, { id: 'ApprovalDetail' });
named.add(DecisionView, { id: 'Decision' });
named.add(SignedDecisionView, { id: 'SignedDecision' });
named.add(ScheduleView, { id: 'Schedule' });
named.add(ScheduleDetail, { id: 'ScheduleDetail' });
named.add(FiringView, { id: 'Firing' });
named.add(ScheduleEventData, { id: 'ScheduleEventData' });
named.add(RunEventData, { id: 'RunEventData' });
named.add(ApprovalEventData, { id: 'ApprovalEventData' });

/** What `describe` says is in the global registry, where the document does not look. */
const zodToJsonConfig = {
  override({ zodSchema, jsonSchema }: { zodSchema: z.core.$ZodType; jsonSchema: { description?: string } }) {
    const description = z.globalRegistry.get(zodSchema)?.description;
    if (description !== undefined) jsonSchema.description ??= description;
  },
};

/** OpenAPI 3.1 from the schemas of the routes, and its pages under `/docs`. */
export async function documented(app: FastifyInstance, { publicUrl }: ApiOptions): Promise<void> {
  const toJsonSchema = createJsonSchemaTransform({ schemaRegistry: named, zodToJsonConfig });
  const toComponents = createJsonSchemaTransformObject({ schemaRegistry: named, zodToJsonConfig });
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Waybill',
        version: '1',
        description: 'Durable data pipelines under the verified identity of who began them.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: publicUrl ?? '/' }],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', bearerFormat: 'at+jwt' } } },
      security: [{ token: [] }],
    },
    transform: (document) => {
      const made = toJsonSchema(document);
      const body = document.route.config?.route?.body;
      if (body === 'data') return withBodies(made, {});
      return body === 'json or data' ? withBodies(made, { 'application/json': envelopeSchema() }) : made;
    },
    transformObject: (document) => tidied({ ...toComponents(document), webhooks: webhooks() }),
  });
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true });
}

/**
 * Leaves out what tells a reader nothing: components for requests (the named ones are only ever answers), and what
 * `format: date-time` and `type: integer` already say.
 */
function tidied<T extends object>(document: T): T {
  const schemas = (document as { components: { schemas: Record<string, unknown> } }).components.schemas;
  for (const name of Object.keys(schemas)) if (name.endsWith('Input')) delete schemas[name];
  return JSON.parse(JSON.stringify(document), (key, value) => {
    if (value?.format === 'date-time') delete value.pattern;
    return Math.abs(value) === Number.MAX_SAFE_INTEGER && /imum$/.test(key) ? undefined : value;
  });
}

/** What callbacks are told, so that receivers too can be generated from the document. */
function webhooks(): NonNullable<OpenAPIV3_1.Document['webhooks']> {
  const told = Object.entries(webhookEvents).map(([type, data]) => {
    const properties = {
      type: { const: type },
      timestamp: { type: 'string', format: 'date-time' },
      data: { $ref: `#/components/schemas/${named.get(data)!.id}` },
    };
    const schema = { type: 'object', required: Object.keys(properties), properties } as const;
    const requestBody = { required: true, content: { 'application/json': { schema } } };
    const responses = { '2XX': { description: 'Taken. Anything else is tried again.' } };
    return [type, { post: { tags: ['webhooks'], security: [], requestBody, responses } }];
  });
  return Object.fromEntries(told);
}

/** The bodies of a route that also takes data; they are validated by hand, since the data is a stream. */
function withBodies<T extends { schema: unknown }>(made: T, json: object): T {
  const content = {
    ...json,
    ...Object.fromEntries(
      connectors.formats.map(({ mediaType, summary }) => [
        mediaType,
        { schema: { type: 'string', description: summary } },
      ]),
    ),
  };
  return { ...made, schema: { ...(made.schema as object), body: { content } } };
}

function envelopeSchema(): object {
  const envelope = z.toJSONSchema(Envelope, { io: 'input' });
  delete envelope.$schema;
  return { schema: envelope };
}
