import { policyToJson } from '@cedar-policy/cedar-wasm/nodejs';
import type { PolicySet } from '../../domain/policy.ts';
import type { Names } from '../../domain/policyChange.ts';

/** Of issuers and subjects that policies name, up to so many are combined; more would take minutes to ask about. */
const combinedMax = 12;

/** Whom and which pipelines the policies of the sets name, so that a plan asks about exactly these too. */
export function namesIn(sets: readonly (PolicySet | undefined)[]): Names {
  const found: Found = { pipelines: new Set(), principals: new Set(), texts: new Set() };
  for (const text of new Set(sets.flatMap((set) => Object.values(set?.policies ?? {})))) {
    const parsed = policyToJson(text);
    if (parsed.type === 'failure') continue;
    // Texts of a policy that asks for nobody's name are labels.
    collect(parsed.json, found, /"attr":"(id|issuer|subject)"/.test(JSON.stringify(parsed.json)));
  }
  const texts = [...found.texts];
  const combined = texts
    .slice(0, combinedMax)
    .flatMap((issuer) => texts.map((subject) => ({ subject, issuer })));
  return {
    ofPipeline: (id) => found.pipelines.has(id),
    identities: [
      ...[...found.principals, ...texts].map((id) => ({ id })),
      ...texts.map((subject) => ({ subject })),
      ...texts.map((issuer) => ({ issuer })),
      ...combined.filter(({ subject, issuer }) => subject !== issuer),
    ],
  };
}

interface Found {
  pipelines: Set<string>;
  principals: Set<string>;
  texts: Set<string>;
}

/** Walks a policy in Cedar’s JSON: entities are `{ type, id }`, texts `{ Value }`, patterns lists of their characters. */
function collect(part: unknown, found: Found, withTexts: boolean): void {
  if (typeof part !== 'object' || part === null) return;
  const { type, id, Value: value, pattern } = part as Record<string, unknown>;
  if (type === 'Waybill::Pipeline') found.pipelines.add(String(id));
  if (type === 'Waybill::Principal') found.principals.add(String(id));
  if (withTexts && typeof value === 'string') found.texts.add(value);
  if (withTexts && Array.isArray(pattern)) found.texts.add(pattern.map(characterOf).join(''));
  for (const inner of Object.values(part)) collect(inner, found, withTexts);
}

/** Anything fits a wildcard. */
function characterOf(part: { Literal: string } | 'Wildcard'): string {
  return part === 'Wildcard' ? 'x' : part.Literal;
}
