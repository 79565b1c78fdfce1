import { WaybillError } from '../domain/errors.ts';
import { similarTo } from '../domain/nearest.ts';
import type { LoadedPipeline } from '../domain/ports/definitions.ts';
import type { Principal } from '../domain/principal.ts';
import { mayReadPipeline } from './mayRead.ts';
import type { ApiPorts } from './ports.ts';

type Ports = Pick<ApiPorts, 'definitions' | 'policy'>;

/** The pipelines that somebody may know of. */
export function readablePipelines({ definitions, policy }: Ports, principal: Principal): LoadedPipeline[] {
  return definitions.list().filter(({ manifest }) => mayReadPipeline(policy, principal, manifest));
}

/** Names the one that was probably meant, of those alone that whoever asks may know of. */
export function unknownPipeline(ports: Ports, principal: Principal, id: string, path = '/id'): WaybillError {
  const known = readablePipelines(ports, principal).map(({ manifest }) => manifest.id);
  const meant = similarTo(id, known);
  return new WaybillError('PipelineNotFound', {
    ...(meant !== undefined && { issues: [{ path, message: `Did you mean ${meant}?` }] }),
  });
}
