import { canonicalJson } from '../canonicalJson.ts';
import { requesterOf } from '../principal.ts';
import type { RunFacts } from '../runs/runFacts.ts';
import { isPulled } from '../sources/source.ts';
import { describeSource } from '../sources/sourceDescription.ts';
import { type GrantClaims, principalOf } from './grant.ts';

/**
 * Where the record of a run differs from its grant: its principal, or what it runs. A difference means that one of the
 * two was tampered with. `digest` makes lower-case hex SHA-256 of a text.
 */
export function differenceFrom(
  claims: GrantClaims,
  run: RunFacts,
  digest: (text: string) => string,
): string | undefined {
  const { sub, txn, tctx } = claims;
  if (run.tenant !== tctx.tenant) return 'tenant';
  if (run.principal !== sub) return 'principal';
  if (canonicalJson(run.requestedBy) !== canonicalJson(requesterOf(principalOf(claims)))) return 'requester';
  if (run.txn !== txn) return 'trace';
  if (run.pipeline !== tctx.pipeline || run.version !== tctx.version) return 'pipeline';
  if (run.definitionDigest !== tctx.definitionDigest) return 'definition';
  if (digest(canonicalJson(run.parameters)) !== tctx.parametersDigest) return 'parameters';
  // Of an upload the grant knows the id only, or the digests of its batches; `ingest` compares those.
  if (isPulled(run.source) && digest(describeSource(run)) !== tctx.sourceDigest) return 'source';
  return undefined;
}
