import { WaybillError } from '../domain/errors.ts';
import { similarTo } from '../domain/nearest.ts';
import {
  type DefinitionFacts,
  type Policy,
  pipelineResourceOf,
  runResourceOf,
} from '../domain/policies/policy.ts';
import type { LoadedPipeline } from '../domain/ports/definitions.ts';
import type { Principal } from '../domain/principal.ts';
import type { ApplicationPorts } from './ports.ts';

/** For lists, and for what an answer shows beside its subject: the caller does not learn of what is left out. */
export function mayReadRun(
  policy: Policy,
  principal: Principal,
  run: Parameters<typeof runResourceOf>[0],
): boolean {
  return policy.decide({ principal, action: 'read', resource: runResourceOf(run) }).allowed;
}

export function mayReadPipeline(policy: Policy, principal: Principal, definition: DefinitionFacts): boolean {
  const resource = pipelineResourceOf(definition, principal.tenant);
  return policy.decide({ principal, action: 'read', resource }).allowed;
}

type Ports = Pick<ApplicationPorts, 'definitions' | 'policy'>;

/** The pipelines that the caller may read. */
export function readablePipelines({ definitions, policy }: Ports, principal: Principal): LoadedPipeline[] {
  return definitions.list().filter(({ manifest }) => mayReadPipeline(policy, principal, manifest));
}

/** `PipelineNotFound`, with the most similar name among the pipelines that the caller may read. */
export function pipelineNotFound(ports: Ports, principal: Principal, id: string, path = '/id'): WaybillError {
  const known = readablePipelines(ports, principal).map(({ manifest }) => manifest.id);
  const meant = similarTo(id, known);
  return new WaybillError('PipelineNotFound', {
    ...(meant !== undefined && { issues: [{ path, message: `Did you mean ${meant}?` }] }),
  });
}

interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

const pagesMax = 10;

/**
 * A page of what the caller may read. What is left out is filled up from the following pages, up to ten of them, so that a page may
 * hold fewer items than its limit and still have a next one.
 */
export async function readablePage<T>(
  { limit, cursor }: { limit: number; cursor?: string | undefined },
  list: (page: { limit: number; cursor?: string }) => Promise<Page<T>>,
  mayRead: (item: T) => boolean,
): Promise<Page<T>> {
  const items: T[] = [];
  let nextCursor = cursor ?? null;
  for (let pages = 0; pages < pagesMax; pages++) {
    const page = await list({
      limit: limit - items.length,
      ...(nextCursor !== null && { cursor: nextCursor }),
    });
    items.push(...page.items.filter(mayRead));
    nextCursor = page.nextCursor;
    if (nextCursor === null || items.length === limit) break;
  }
  return { items, nextCursor };
}
