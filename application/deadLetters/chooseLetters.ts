import type { LetterFilter } from '../../domain/deadLetters/letterStates.ts';
import { WaybillError } from '../../domain/errors.ts';
import { type Action, runResourceOf } from '../../domain/policies/policy.ts';
import type { LetterOrigin, StoredLetter } from '../../domain/ports/deadLetters.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { type Authorization, authorizeAction } from '../authorize.ts';
import type { ApplicationPorts } from '../ports.ts';
import { pipelineNotFound } from '../readable.ts';
import { notOpen } from './repairLetter.ts';

/** What a request chooses: letters by their ids, or all of one pipeline that a filter holds. */
export type Choice = { ids: readonly string[] } | { filter: LetterFilter };

/** So many letters a request is about; of more, the first. */
export const lettersMax = 100_000;
const pageMax = 1_000;

type Ports = Pick<ApplicationPorts, 'deadLetters' | 'runs' | 'definitions' | 'policy' | 'auditLog'>;
type Caller = Pick<Authorization, 'principal' | 'txn'>;

/** The one pipeline that the letters are of. Throws `InvalidRequest`, `DeadLetterNotFound`, `RunNotFound`, `PipelineNotFound`. */
export async function pipelineOfLetters(
  ports: Ports,
  { principal }: Caller,
  choice: Choice,
): Promise<LoadedPipeline> {
  const { tenant } = principal;
  const id =
    'ids' in choice ? await ofIds(ports, tenant, choice.ids) : await ofFilter(ports, tenant, choice.filter);
  const pipeline = ports.definitions.find(id);
  if (!pipeline) throw pipelineNotFound(ports, principal, id, '/filter/pipeline');
  return pipeline;
}

async function ofIds({ deadLetters }: Ports, tenant: string, ids: readonly string[]): Promise<string> {
  const found = await deadLetters.pick(tenant, { ids: ids.slice(0, pageMax) }, { limit: pageMax });
  const known = new Set(found.map(({ id }) => id));
  const unknown = ids.slice(0, pageMax).filter((id) => !known.has(id));
  if (unknown.length > 0)
    throw new WaybillError('DeadLetterNotFound', {
      issues: unknown
        .slice(0, 10)
        .map((id) => ({ path: `/ids/${ids.indexOf(id)}`, message: 'It is unknown.' })),
      issueCount: unknown.length,
    });
  const pipelines = [...new Set(found.map(({ pipeline }) => pipeline))];
  if (pipelines.length === 1) return pipelines[0]!;
  const message = `The letters are of several pipelines: ${pipelines.join(', ')}. Choose those of one.`;
  throw new WaybillError('InvalidRequest', { issues: [{ path: '/ids', message }] });
}

async function ofFilter({ runs }: Ports, tenant: string, { pipeline, run }: LetterFilter): Promise<string> {
  if (pipeline !== undefined) return pipeline;
  if (run === undefined)
    throw new WaybillError('InvalidRequest', {
      issues: [{ path: '/filter', message: 'Name a pipeline or a run.' }],
    });
  const found = await runs.find(tenant, run);
  if (!found) throw new WaybillError('RunNotFound');
  return found.pipeline;
}

/**
 * The open letters that are chosen, page by page in the order in which they were rejected, with the runs that rejected them. The caller is
 * asked for the action on each of these. Throws `Forbidden`, `DeadLetterNotFound`, and `DeadLetterNotOpen` where one that is named is
 * under way or done with.
 */
export async function* chosenLetters(
  ports: Ports,
  { principal, txn }: Caller,
  action: Action,
  choice: Choice,
  { after, max = lettersMax }: { after?: string | undefined; max?: number } = {},
): AsyncGenerator<{ letters: StoredLetter[]; origins: ReadonlyMap<string, LetterOrigin> }> {
  const { tenant } = principal;
  const origins = new Map<string, LetterOrigin>();
  const wanted = 'ids' in choice ? choice : { filter: choice.filter, states: ['open', 'repaired'] as const };
  let cursor = after;
  for (let left = max; left > 0; ) {
    const limit = Math.min(left, pageMax);
    const letters = await ports.deadLetters.pick(tenant, wanted, { after: cursor, limit });
    if (letters.length === 0) return;
    const closed = letters.filter(({ state }) => state !== 'open' && state !== 'repaired');
    if (closed.length > 0) throw notOpen(closed);
    const fresh = [...new Set(letters.map(({ runId }) => runId))].filter((id) => !origins.has(id));
    for (const origin of await ports.deadLetters.findOrigins(tenant, fresh)) {
      const question = { principal, action, resource: runResourceOf(origin) };
      await authorizeAction(ports, question, txn);
      origins.set(origin.id, origin);
    }
    yield { letters, origins };
    left -= letters.length;
    cursor = letters.at(-1)!.cursor;
    if (letters.length < limit) return;
  }
}
