import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import type { GrantClaims, VerifiedGrant } from '../../domain/grants/grant.ts';
import type { RunStates } from '../../domain/ports/runs.ts';
import type { RunFacts } from '../../domain/runs/runFacts.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { grantOfRun } from '../../test/support/keys.ts';

/**
 * In the place of a verified grant: claims that say whatever the record of the run says. Steps cannot do without claims, and
 * so these are filled in as soon as a step has read the record, which is before it compares the two.
 */
export function believing(runs: RunStates): { runs: RunStates; grant(): VerifiedGrant } {
  const believed = new Map<string, VerifiedGrant & { filledIn?: true }>();
  return {
    grant() {
      const { workflowId } = Context.current().info.workflowExecution!;
      const known = believed.get(workflowId);
      if (known) return known;
      const claims: GrantClaims = { ...grantOfRun, tctx: { ...grantOfRun.tctx, workflowId } };
      const grant = { claims, key: 'none' };
      believed.set(workflowId, grant);
      return grant;
    },
    runs: {
      ...runs,
      async find(run) {
        const facts = await runs.find(run);
        const grant = believed.get(facts.runId)!;
        if (!grant.filledIn) fillIn(grant.claims, facts);
        grant.filledIn = true;
        return facts;
      },
    },
  };
}

function fillIn(claims: GrantClaims, run: RunFacts): void {
  const { principal: sub, txn, pipeline, version, definitionDigest } = run;
  Object.assign(claims, { sub, txn });
  Object.assign(claims.tctx, {
    pipeline,
    version,
    definitionDigest,
    parametersDigest: digestOf(canonicalJson(run.parameters)),
    sourceDigest: digestOf(describeSource(run)),
  });
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
