import { policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import { nearestOf } from '../../domain/nearest.ts';
import type { PolicySet } from '../../domain/policies/policy.ts';
import type { Names } from '../../domain/policies/policyChange.ts';

/** Attributes by which a policy can name a principal or an actor. */
const naming = ['id', 'issuer', 'subject'] as const;
type Naming = (typeof naming)[number];

/** Of each policy up to so many issuers are combined with its subjects; more would take minutes to ask about. */
const combinedMax = 12;

/** The principals and pipelines that the policies name, so that a plan asks about these too. */
export function namesIn(sets: readonly (PolicySet | undefined)[]): Names {
  const texts = new Set(sets.flatMap((set) => Object.values(set?.policies ?? {})));
  const found = [...texts].map(namesOf);
  const pipelines = new Set(found.flatMap((names) => [...names.pipelines]));
  const identities = new Map(
    found.flatMap(identitiesOf).map((identity) => [JSON.stringify(identity), identity]),
  );
  return { ofPipeline: (id) => pipelines.has(id), identities: [...identities.values()] };
}

/** A pipeline that a policy names and the project does not have: the policy says nothing of the one that was meant. */
export interface StrayName {
  policy: string;
  pipeline: string;
  /** Of the pipelines of the project; `null` where it has none. */
  nearest: string | null;
}

export function strayNames({ policies }: PolicySet, pipelines: readonly string[]): StrayName[] {
  return Object.entries(policies).flatMap(([policy, text]) =>
    [...namesOf(text).pipelines]
      .filter((pipeline) => !pipelines.includes(pipeline))
      .map((pipeline) => ({ policy, pipeline, nearest: nearestOf(pipeline, pipelines) || null })),
  );
}

interface PolicyNames {
  pipelines: Set<string>;
  principals: Set<string>;
  texts: Set<string>;
  attributes: Set<string>;
}

/** Any text of a policy that asks for a name may be one. */
function identitiesOf({ principals, texts, attributes }: PolicyNames): Names['identities'][number][] {
  const asked = naming.filter((attribute) => attributes.has(attribute));
  const alone = (attribute: Naming) => [...texts].map((text) => ({ [attribute]: text }));
  const combined =
    asked.includes('issuer') && asked.includes('subject')
      ? [...texts]
          .slice(0, combinedMax)
          .flatMap((issuer) => [...texts].map((subject) => ({ subject, issuer })))
      : [];
  return [...[...principals].map((id) => ({ id })), ...asked.flatMap(alone), ...combined];
}

function namesOf(text: string): PolicyNames {
  const names = { pipelines: new Set(), principals: new Set(), texts: new Set(), attributes: new Set() };
  const parsed = policyToJson(text);
  if (parsed.type === 'success') collect(parsed.json, names as PolicyNames);
  return names as PolicyNames;
}

/** Walks a policy in Cedar’s JSON: entities are `{ type, id }`, texts `{ Value }`, patterns lists of their characters. */
function collect(part: unknown, names: PolicyNames): void {
  if (typeof part !== 'object' || part === null) return;
  const { type, id, Value: value, pattern, attr } = part as Record<string, unknown>;
  if (type === 'Waybill::Pipeline') names.pipelines.add(String(id));
  if (type === 'Waybill::Principal') names.principals.add(String(id));
  if (typeof attr === 'string') names.attributes.add(attr);
  if (typeof value === 'string') names.texts.add(value);
  if (Array.isArray(pattern)) names.texts.add(pattern.map(characterOf).join(''));
  for (const inner of Object.values(part)) collect(inner, names);
}

/** Anything fits a wildcard. */
function characterOf(part: { Literal: string } | 'Wildcard'): string {
  return part === 'Wildcard' ? 'x' : part.Literal;
}
