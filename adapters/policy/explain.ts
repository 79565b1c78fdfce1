import { policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { Explanation, PolicySet, Question } from '../../domain/policies/policy.ts';
import { cedarRequest } from './cedarRequest.ts';
import { type Evaluation, evaluate, prepare } from './evaluate.ts';

/**
 * Why the answer is what it is and, where it is no, what would have to be otherwise: the permits are asked without the
 * forbids, with each role beside those that the principal has, and then everything with one thing changed at a time.
 * `digest` is the name under which the set was prepared.
 */
export function explain(set: PolicySet, digest: string, question: Question): Explanation {
  const declared = new Set(set.roles);
  const ask = (name: string, asked: Question): Evaluation => evaluate(name, cedarRequest(asked, declared));
  prepare(permitsOnly, { ...set, policies: permitsOf(set) });
  const permitted = ask(permitsOnly, question);
  const roles = permitted.allowed
    ? []
    : set.roles.filter((role) => ask(permitsOnly, withRole(question, role)).allowed);
  const { allowed, reasons, errors } = ask(digest, question);
  const forbids = allowed ? [] : reasons;
  const entitled = roles[0] === undefined ? question : withRole(question, roles[0]);
  return {
    allowed,
    digest,
    permits: textsOf(set, permitted.reasons),
    forbids: textsOf(set, forbids),
    errors,
    roles,
    changes: forbids.length === 0 ? [] : changesFor(entitled, (asked) => ask(digest, asked).allowed),
  };
}

/** Cedar keeps what is parsed by name; this one is only ever used within one call. */
const permitsOnly = 'permits-only';

function permitsOf({ policies }: PolicySet): Record<string, string> {
  return Object.fromEntries(
    Object.entries(policies).filter(([, text]) => {
      const parsed = policyToJson(text);
      return parsed.type === 'success' && parsed.json.effect === 'permit';
    }),
  );
}

function withRole({ principal, ...asked }: Question, role: string): Question {
  return { ...asked, principal: { ...principal, roles: [...principal.roles, role] } };
}

/** Each by itself: what lifts the forbids, or nothing where only another policy would. */
function changesFor(question: Question, allows: (asked: Question) => boolean): Explanation['changes'] {
  const { principal, resource } = question;
  const { actor: _, ...alone } = principal;
  const possible: Record<Explanation['changes'][number], Question | undefined> = {
    approval: gated(question),
    'a person alone': { ...question, principal: { ...alone, kind: 'person' } },
    'another requester':
      resource.kind === 'run' ? { ...question, resource: { ...resource, requestedBy: '' } } : undefined,
  };
  return (Object.keys(possible) as Explanation['changes']).filter((change) => {
    const asked = possible[change];
    return asked !== undefined && allows(asked);
  });
}

function gated({ resource, ...asked }: Question): Question | undefined {
  if (resource.kind === 'pipeline') return { ...asked, resource: { ...resource, gated: true } };
  if (resource.kind !== 'run') return undefined;
  return { ...asked, resource: { ...resource, pipeline: { ...resource.pipeline, gated: true } } };
}

function textsOf({ policies }: PolicySet, ids: readonly string[]): Explanation['permits'] {
  return ids.map((id) => ({ id, text: policies[id]! }));
}
