import { z } from 'zod';
import { pipelineNotFound } from '../../application/readable.ts';
import { PolicyQuery, questionOf } from '../../domain/policies/policyQuery.ts';
import { handler } from '../handler.ts';
import type { ApiOptions, ApiPorts } from '../ports.ts';

const Policy = z.object({ id: z.string(), text: z.string().describe('In Cedar.') });

export const ExplanationView = z.object({
  allowed: z.boolean(),
  digest: z.string().describe('Of the policy set that was asked.'),
  permits: z
    .array(Policy)
    .describe('Those that allow it; where it is denied, those that would if no `forbid` stood in the way.'),
  forbids: z.array(Policy).describe('Those that stand in the way.'),
  errors: z
    .array(z.object({ policy: z.string(), message: z.string() }))
    .describe(
      'What could not be evaluated, which denies; without a policy: the question itself is impossible.',
    ),
  roles: z
    .array(z.string())
    .describe('Where no permit holds: the declared roles any of which would bring one.'),
  changes: z
    .array(z.enum(['approval', 'a person alone', 'another requester']))
    .describe('What would lift the forbids, each by itself, once there is a permit.'),
});

/** More than a denied caller learns, and so for administrators. It changes nothing. */
export function explain(ports: ApiPorts, { operatingTenant = '' }: ApiOptions) {
  const { policy, definitions } = ports;
  return handler(
    {
      summary: 'Explains what the policy in force would answer',
      description: 'Why a principal of your tenant may or may not do it, and what would be needed.',
      tags: ['policy'],
      body: PolicyQuery,
      response: { 200: ExplanationView },
    },
    async ({ body, authorization: { principal } }) => {
      const resource = body.resource.kind === 'instance' ? operatingTenant : principal.tenant;
      const find = (id: string) => definitions.find(id)?.manifest;
      const question = questionOf(body, { principal: principal.tenant, resource }, find);
      if (!question) throw pipelineNotFound(ports, principal, pipelineOf(body), '/resource');
      return policy.explain(question);
    },
  );
}

function pipelineOf({ resource }: PolicyQuery): string {
  if (resource.kind === 'run') return resource.pipeline;
  return resource.kind === 'pipeline' ? resource.id : '';
}
