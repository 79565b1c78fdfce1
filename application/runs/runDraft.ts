import { uuidv7 } from 'uuidv7';
import { auditOf } from '../../domain/audit.ts';
import { canonicalJson } from '../../domain/canonicalJson.ts';
import { claimsOfRequester } from '../../domain/grants/claimedRequester.ts';
import { type GrantClaims, grantedSteps } from '../../domain/grants/grant.ts';
import type { Acceptance, IdempotencyScope } from '../../domain/ports/acceptance.ts';
import type { LoadedPipeline } from '../../domain/ports/definitions.ts';
import { type Principal, requesterOf } from '../../domain/principal.ts';
import type { Credential } from '../../domain/revocation.ts';
import type { Batch } from '../../domain/runs/batch.ts';
import { describeSource } from '../../domain/sources/sourceDescription.ts';
import { describeCallback } from '../../domain/webhooks/callback.ts';
import type { ApplicationOptions, ApplicationPorts } from '../ports.ts';
import { sha256 } from '../sha256.ts';

/** Who asks for a run of which pipeline. An `Authorization` of a pipeline is one, and so is a standing consent of an owner. */
export interface RunCaller {
  pipeline: LoadedPipeline;
  principal: Principal;
  credential: Credential;
  policies: readonly string[];
  policyDigest: string;
  txn: string;
  /** Asked every 500 ms while the data arrives. */
  isRevoked(): Promise<boolean>;
}

/** A run that is not on record yet. */
export interface RunDraft extends RunCaller {
  runId: string;
  acceptedAtMs: number;
  idempotency: IdempotencyScope | undefined;
  parameters: unknown;
  source: Acceptance['source'];
}

/** Step `draft`: the run gets its id and its time. */
export function draftRun(
  caller: RunCaller,
  idempotencyKey: string | undefined,
  resolved: Pick<RunDraft, 'parameters' | 'source'>,
): RunDraft {
  const { pipeline, principal, credential, policies, policyDigest, txn, isRevoked } = caller;
  const id = pipeline.manifest.id;
  return {
    ...{ pipeline, principal, credential, policies, policyDigest, txn, isRevoked },
    ...resolved,
    runId: `${id}-${uuidv7()}`,
    acceptedAtMs: Date.now(),
    idempotency:
      idempotencyKey === undefined
        ? undefined
        : {
            tenant: principal.tenant,
            // The keys of an agent differ from those of its person.
            principal: principal.actor ? `${principal.id} ${principal.actor.id}` : principal.id,
            pipeline: id,
            key: idempotencyKey,
          },
  };
}

/**
 * Step `mint`: the signed permission of this run. `batches`: all of its input, where that is there already; `callback`: where its
 * events go.
 */
export async function mintGrant(
  { grantSigner, policy }: Pick<ApplicationPorts, 'grantSigner' | 'policy'>,
  options: ApplicationOptions,
  draft: RunDraft,
  { batches, callback }: { batches?: readonly Batch[] | undefined; callback?: Acceptance['callback'] } = {},
): Promise<{ grant: string; claims: GrantClaims }> {
  const { pipeline, principal, runId } = draft;
  const { id, version, deadlineMs } = pipeline.manifest;
  const granted = grantedSteps({ ...pipeline.manifest, source: draft.source });
  const issuedAt = Math.floor(draft.acceptedAtMs / 1000);
  const claims: GrantClaims = {
    iss: `urn:waybill:${options.instance}`,
    aud: 'waybill',
    iat: issuedAt,
    exp: issuedAt + Math.ceil(deadlineMs / 1000),
    jti: uuidv7(),
    txn: draft.txn,
    sub: principal.id,
    scope: granted.join(' '),
    req: claimsOfRequester(principal, draft.credential, policy.roles),
    ...(principal.actor && {
      act: {
        id: principal.actor.id,
        iss: principal.actor.issuer,
        sub: principal.actor.subject,
        kind: principal.actor.kind,
      },
    }),
    tctx: {
      tenant: principal.tenant,
      namespace: options.namespace,
      workflowId: runId,
      workflowType: 'runPipeline',
      pipeline: id,
      version,
      definitionDigest: pipeline.digest,
      sourceDigest: sha256(
        describeSource(
          draft,
          batches?.map(({ digest }) => digest),
        ),
      ),
      parametersDigest: sha256(canonicalJson(draft.parameters ?? {})),
      ...(callback && { callbackDigest: sha256(describeCallback(callback)) }),
      steps: granted,
      policyDigest: draft.policyDigest,
      ...(draft.credential.delegation && { delegation: draft.credential.delegation }),
    },
  };
  return { grant: await grantSigner.sign(claims), claims };
}

/** What step `accept` records. */
export function acceptanceOf(
  draft: RunDraft,
  { grant, claims }: { grant: string; claims: GrantClaims },
  arrival: Pick<Acceptance, 'batches' | 'sealed' | 'requestDigest'> &
    Partial<Pick<Acceptance, 'callback' | 'input' | 'backfill'>>,
): Acceptance {
  const { runId, pipeline, principal, credential, parameters, source, txn, idempotency, policies } = draft;
  const { definitionDigest, sourceDigest, parametersDigest, policyDigest, version } = claims.tctx;
  return {
    runId,
    manifest: pipeline.manifest,
    definitionDigest,
    tenant: principal.tenant,
    requestedBy: requesterOf(principal),
    credential,
    parameters,
    source,
    grant,
    txn,
    callback: null,
    ...(idempotency && { idempotency }),
    ...arrival,
    audit: auditOf(draft, 'run.accepted', {
      grant: claims.jti,
      pipeline: pipeline.manifest.id,
      version,
      definitionDigest,
      sourceDigest,
      parametersDigest,
      policyDigest,
      policies,
    }),
  };
}
