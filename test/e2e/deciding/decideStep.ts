import { createHash, randomUUID } from 'node:crypto';
import { decideStep } from '../../../activities/decide.ts';
import type { Dependencies } from '../../../activities/dependencies.ts';
import { createGrantVerifier } from '../../../adapters/keys/grantVerifier.ts';
import { createRunApprovals } from '../../../adapters/postgres/approvals/runApprovals.ts';
import { createAuditLog } from '../../../adapters/postgres/audit.ts';
import { connectPool } from '../../../adapters/postgres/connect.ts';
import { createRunStates } from '../../../adapters/postgres/runs/runStates.ts';
import { tenantsOf } from '../../../adapters/postgres/tenants.ts';
import { DecisionClaims, decisionType } from '../../../domain/approvals/decision.ts';
import { canonicalJson } from '../../../domain/canonicalJson.ts';
import { WaybillError } from '../../../domain/errors.ts';
import type { VerifiedGrant } from '../../../domain/grants/grant.ts';
import type { Definitions } from '../../../domain/ports/definitions.ts';
import type { Api } from '../../api/startApi.ts';

/** The step of a run that looks at what update and signal brought, against the database of an API, as a worker has it. */
export interface DecideStep {
  /** What the API would sign for this principal, to be bent. */
  claims(about: {
    approval: string;
    run: string;
    digest: string;
    principal: string;
    form?: Form;
  }): Promise<DecisionClaims>;
  /** Signs by the key of the API whatever it is given, and has the run decide; `null`: it counts. */
  decide(run: string, claims: object, form?: Form): Promise<string | null>;
  close(): Promise<void>;
}

type Form = Readonly<Record<string, unknown>> | null;

/** The project of a worker once its pipelines were deployed again. */
const another: Pick<Definitions, 'find' | 'require'> = {
  find: () => undefined,
  require: () => {
    throw new WaybillError('DefinitionUnavailable');
  },
};

/** @param redeployed whether the worker has another definition by now than the runs were accepted with */
export async function openDecideStep(api: Api, redeployed = false): Promise<DecideStep> {
  const { grantSigner, grantVerifier, grantKeys, definitions, policy, revocations } = api.ports;
  const tenants = tenantsOf(connectPool(api.postgres.workerUrl, { connectionsMax: 2, name: 'test-worker' }));
  // The API’s own knowledge of its keys, which a worker reads at /.well-known/jwks.json.
  const keys = grantKeys as unknown as Parameters<typeof createGrantVerifier>[0]['keys'];
  const decisions = createGrantVerifier({
    keys,
    issuer: 'urn:waybill:test',
    schema: DecisionClaims,
    type: decisionType,
  });
  const grants = new Map<string, VerifiedGrant>();

  async function grantOf(run: string): Promise<VerifiedGrant> {
    const known =
      grants.get(run) ??
      (await grantVerifier.verify(await api.ports.runs.findGrant({ tenant: 'acme', runId: run })));
    grants.set(run, known);
    return known;
  }

  function depsOf(grant: VerifiedGrant): Dependencies {
    return {
      grant: () => grant,
      decision: () => undefined,
      runs: createRunStates(tenants),
      approvals: createRunApprovals(tenants),
      decisions,
      definitions: redeployed ? { ...definitions, ...another } : definitions,
      policy,
      revocations,
      audit: createAuditLog(tenants),
      nowS: () => Math.floor(Date.now() / 1000),
    } satisfies Partial<Dependencies> as Dependencies;
  }

  return {
    async claims({ approval, run, digest, principal, form = null }) {
      const nowS = Math.floor(Date.now() / 1000);
      return {
        iss: 'urn:waybill:test',
        aud: 'waybill',
        iat: nowS,
        exp: nowS + 600,
        jti: randomUUID(),
        txn: '0af7651916cd43dd8448eb211c80319c',
        sub: principal,
        req: { iss: '', sub: '', iat: nowS, kind: 'person', roles: [] },
        tctx: {
          tenant: 'acme',
          namespace: 'default',
          workflowId: run,
          approval,
          shownDigest: digest,
          vote: 'approve',
          detailDigest: createHash('sha256')
            .update(canonicalJson({ comment: null, form }))
            .digest('hex'),
        },
      };
    },
    async decide(run, claims, form = null) {
      const token = await grantSigner.sign(claims as DecisionClaims, decisionType);
      const { counted } = await decideStep(depsOf(await grantOf(run)), {
        token,
        comment: null,
        form,
      });
      return counted === true ? null : counted;
    },
    close: () => tenants.end(),
  };
}
