import { policyToJson, type ValidationError, validate } from '@cedar-policy/cedar-wasm/nodejs';
import { type Issue, WaybillError } from '../../domain/errors.ts';
import { nearestOf } from '../../domain/nearest.ts';
import { callerActions, type PolicySet, taskActions } from '../../domain/policies/policy.ts';
import { schemaOf } from './schema.ts';

/** Where a policy begins in the file that it was read from. */
export interface Place {
  file: string;
  line: number;
}

/**
 * Every policy must fit the schema, and be able to decide at all: what Cedar only warns of (a condition that no request
 * fulfils, look-alike characters) is a mistake in a set that is deployed. Throws `PolicyInvalid` with all issues.
 */
export function validatePolicies(set: PolicySet, places: ReadonlyMap<string, Place> = new Map()): void {
  const answer = validate({
    schema: schemaOf(set.roles),
    policies: { staticPolicies: { ...set.policies } },
    validationSettings: { mode: 'strict' },
  });
  if (answer.type === 'failure') {
    throw policyInvalid(
      answer.errors.map(({ message, help }) => ({ path: '', message: said(message, help) })),
    );
  }
  const { validationErrors, validationWarnings } = answer;
  const wrong = new Set(validationErrors.map(({ policyId }) => policyId));
  const issues = [
    ...validationErrors,
    // Of a policy that is wrong, the warnings say nothing more.
    ...validationWarnings.filter(({ policyId }) => !wrong.has(policyId)),
  ].map((found) => issueOf(found, set, places.get(found.policyId)));
  issues.push(...runsByName(set, places));
  if (issues.length > 0) throw policyInvalid(issues);
}

function issueOf({ policyId, error }: ValidationError, set: PolicySet, place: Place | undefined): Issue {
  const text = Buffer.from(set.policies[policyId] ?? '');
  const before = text.subarray(0, error.sourceLocations?.[0]?.start ?? 0).toString();
  const message = error.message.replace(/^for policy `[^`]*`[:,] /, '');
  const action = /^unrecognized action `Waybill::Action::"([^"]*)"`/.exec(message)?.[1];
  // Cedar compares whole names of actions, which share most of their text, so its suggestion is often wrong.
  const help = action === undefined ? error.help : `did you mean "${nearestOf(action, actions)}"?`;
  return { path: pathOf(policyId, place, before.split('\n').length - 1), message: said(message, help) };
}

const actions = [...callerActions, ...taskActions];

/** A policy sees only the requester and the pipeline of a run, so a policy that names a single run would never apply. */
function runsByName(set: PolicySet, places: ReadonlyMap<string, Place>): Issue[] {
  return Object.entries(set.policies).flatMap(([id, text]) => {
    const parsed = policyToJson(text);
    if (parsed.type === 'failure' || !/"type":"Waybill::Run"/.test(JSON.stringify(parsed.json))) return [];
    const message = 'a policy cannot name a single run; revoke its grant instead';
    return [{ path: pathOf(id, places.get(id), 0), message }];
  });
}

function pathOf(policyId: string, place: Place | undefined, linesIn: number): string {
  return place ? `${place.file}:${place.line + linesIn} (${policyId})` : policyId;
}

function said(message: string, help: string | null): string {
  return help ? `${message}; ${help}` : message;
}

/** Policies cannot be used as they are written; each issue says where (`path`) and what to write instead. */
export function policyInvalid(issues: readonly Issue[]): WaybillError {
  const detail = issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
  return new WaybillError('PolicyInvalid', { detail, issues });
}
