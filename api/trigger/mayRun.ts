import type { FastifyRequest } from 'fastify';
import { actionsOfRun } from '../../domain/grants/grant.ts';
import { type Action, type Decision, pipelineResourceOf } from '../../domain/policies/policy.ts';
import { type Authorization, decide } from '../gate.ts';
import type { ApiPorts } from '../ports.ts';

/**
 * Whoever may begin a run whose steps they may not take would get one that waits from its first step on. Throws `Forbidden`, which
 * names what is missing. `beside`: what else is asked for.
 */
export async function mayRun(
  ports: ApiPorts,
  { principal, pipeline }: Pick<Authorization, 'principal' | 'pipeline'>,
  request: FastifyRequest,
  beside: readonly Action[] = [],
): Promise<Decision[]> {
  const { manifest } = pipeline!;
  const resource = pipelineResourceOf(manifest, principal.tenant);
  const decisions: Decision[] = [];
  for (const action of [...beside, ...actionsOfRun(manifest)])
    decisions.push(await decide(ports, { principal, action, resource }, request, { pipeline: pipeline! }));
  return decisions;
}
