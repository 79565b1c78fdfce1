import { createHash } from 'node:crypto';
import type { AuditEvent } from '../domain/audit.ts';
import { canonicalJson } from '../domain/canonicalJson.ts';
import { WaybillError } from '../domain/errors.ts';
import { actorOf, type GrantClaims } from '../domain/grant.ts';
import type { LoadedPipeline } from '../domain/ports/definitions.ts';
import type { ObjectScope } from '../domain/ports/objects.ts';
import type { RunFacts } from '../domain/ports/progress.ts';
import { describeSource } from '../domain/sourceDescription.ts';
import type { Dependencies } from './index.ts';

/**
 * The run that the verified grant names, never one that an argument names. The record must agree with the grant
 * on whose it is and what it runs; a difference means that one of the two was tampered with.
 */
export async function runOf(deps: Dependencies): Promise<RunFacts> {
  const { claims } = deps.grant();
  const run = await deps.progress.findRun({ tenant: claims.tctx.tenant, runId: claims.tctx.workflowId });
  const differs = difference(run, claims);
  if (differs)
    throw new WaybillError('GrantMismatch', { detail: `${differs} of ${run.runId} differs from its grant` });
  return run;
}

function difference(run: RunFacts, { sub, txn, tctx }: GrantClaims): string | undefined {
  if (run.tenant !== tctx.tenant) return 'tenant';
  if (run.principal !== sub) return 'principal';
  if (run.txn !== txn) return 'trace';
  if (run.pipeline !== tctx.pipeline || run.version !== tctx.version) return 'pipeline';
  if (run.definitionDigest !== tctx.definitionDigest) return 'definition';
  if (digestOf(canonicalJson(run.parameters)) !== tctx.parametersDigest) return 'parameters';
  // Of an upload the grant knows the id only, or the digests of its batches; `ingest` compares those.
  const pulled = run.source.kind === 'file' || run.source.kind === 'http';
  if (pulled && digestOf(describeSource(run)) !== tctx.sourceDigest) return 'source';
  return undefined;
}

/** Lower-case hex SHA-256, as grants have it. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Exactly the definition that was accepted; another worker may have it where this one does not. */
export function definitionOf(deps: Dependencies): LoadedPipeline {
  const { pipeline, definitionDigest } = deps.grant().claims.tctx;
  return deps.definitions.require(pipeline, definitionDigest);
}

export function scopeOf(run: RunFacts): ObjectScope {
  return { tenant: run.tenant, runId: run.runId };
}

/** An audit event of the step at hand, by the person whose grant it acts under. */
export function audited(deps: Dependencies, action: string, detail: AuditEvent['detail'] = {}): AuditEvent {
  const grant = deps.grant().claims;
  return {
    action,
    outcome: 'success',
    tenant: grant.tctx.tenant,
    actor: actorOf(grant),
    runId: grant.tctx.workflowId,
    txn: grant.txn,
    detail: { grant: grant.jti, ...detail },
  };
}
