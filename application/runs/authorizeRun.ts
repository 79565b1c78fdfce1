import { actionsOfRun } from '../../domain/grants/grant.ts';
import { type Action, type Decision, pipelineResourceOf } from '../../domain/policies/policy.ts';
import { type Authorization, authorizeAction } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';

/**
 * Authorizes all steps of a run before it is accepted; else it would be suspended at its first step. Throws `Forbidden`, which names
 * what is missing. `beside`: what else is asked for.
 */
export async function authorizeRun(
  ports: Pick<ApplicationPorts, 'policy' | 'auditLog'>,
  { principal, pipeline, txn }: Pick<Authorization, 'principal' | 'pipeline' | 'txn'>,
  beside: readonly Action[] = [],
  of: Parameters<typeof actionsOfRun>[1] = 'trigger',
): Promise<Decision[]> {
  const { manifest } = pipeline!;
  const resource = pipelineResourceOf(manifest, principal.tenant);
  const decisions: Decision[] = [];
  for (const action of [...beside, ...actionsOfRun(manifest, of)])
    decisions.push(
      await authorizeAction(ports, { principal, action, resource }, txn, { pipeline: pipeline! }),
    );
  return decisions;
}
