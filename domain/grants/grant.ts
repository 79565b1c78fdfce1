import { z } from 'zod';
import type { AuditEvent } from '../audit.ts';
import { type Manifest, publishesAtEnd, type SinkManifest } from '../pipelines/manifest.ts';
import type { Action } from '../policies/policy.ts';
import type { Principal } from '../principal.ts';
import type { Credential } from '../revocation.ts';
import { isPulled } from '../sources/source.ts';
import {
  claimedKind,
  claimedPrincipal,
  claimedRequester,
  claimedTrace,
  claimText,
  issuedClaims,
} from './claimedRequester.ts';

/**
 * The steps that a grant of a run may name, one for each activity, and what the policy is asked before each attempt.
 * Housekeeping (recording a state, replacing the grant) asks for no current right: it touches no business row.
 */
const stepActions = {
  fetch: ['ingest'],
  ingest: ['ingest'],
  validate: ['validate'],
  enrich: ['enrich'],
  transform: ['transform'],
  store: ['store'],
  gate: ['ingest'],
  decide: [],
  processApprovalTimers: [],
  publish: ['publish'],
  suspend: [],
  replaceGrant: [],
  resume: ['ingest', 'validate', 'enrich', 'transform', 'store', 'publish'],
  finalize: [],
} as const satisfies Record<string, readonly Action[]>;
export type Step = keyof typeof stepActions;
const steps = Object.keys(stepActions) as Step[];

/**
 * The steps of runs of a pipeline. One that publishes at its end stores nothing batch by batch: its grant does not name
 * `store`, so that no workflow, whatever it does, gets around a gate before `publish`.
 */
export function grantedSteps(manifest: GrantedManifest): Step[] {
  const { source, approval, enrich } = manifest;
  const left: readonly Step[] = [
    ...(isPulled(source) ? [] : (['fetch'] as const)),
    ...(enrich ? [] : (['enrich'] as const)),
    ...(approval ? [] : (['gate', 'decide', 'processApprovalTimers'] as const)),
    publishesAtEnd(manifest) ? 'store' : 'publish',
  ];
  return steps.filter((step) => !left.includes(step));
}

type GrantedManifest = Pick<Manifest, 'approval' | 'enrich'> & {
  /** What the run reads. */
  source: { kind: string };
  sink?: Pick<SinkManifest, 'atEnd'>;
};

/** What the policy is asked before an attempt: of `resume` all that the steps of the grant need. An unknown step has no action. */
export function actionsOf(step: string, granted: readonly string[]): readonly Action[] {
  if (!Object.hasOwn(stepActions, step)) return [];
  const actions: readonly Action[] = stepActions[step as Step];
  if (step !== 'resume') return actions;
  const needed = granted.flatMap((one): readonly Action[] => (one === step ? [] : actionsOf(one, [])));
  return actions.filter((action) => needed.includes(action));
}

/** All actions that a requester needs for a run of the pipeline, so that the run is not suspended at once. */
export function actionsOfRun(
  manifest: GrantedManifest,
  begins: 'trigger' | 'redrive' = 'trigger',
): readonly Action[] {
  return [begins, ...actionsOf('resume', grantedSteps(manifest))];
}

export function isHousekeeping(step: string): boolean {
  return Object.hasOwn(stepActions, step) && stepActions[step as Step].length === 0;
}

/** `typ` of the protected header. */
export const grantType = 'grant+jwt';

/** What ties a grant to one workflow execution chain: everything is compared with what Temporal says. */
const binding = {
  tenant: claimText,
  namespace: claimText,
  workflowId: claimText,
  workflowType: claimText,
};

const claims = {
  /** `sub` is the principal that the workflow acts for. */
  ...issuedClaims,
  /** Of the request that was accepted. */
  txn: claimedTrace,
  scope: z.string().regex(/^[^\0]*$/),
  req: claimedRequester,
  /** The actor for the requester (RFC 8693). */
  act: z.strictObject({ id: claimText, iss: claimText, sub: claimText, kind: claimedKind }).optional(),
};

/**
 * Claims of a grant of any workflow: the signed permission of one workflow, without pipelines (`waybill/temporal`).
 * After the Transaction Tokens draft (oauth-wg/oauth-transaction-tokens) and RFC 8693.
 */
export const WorkflowGrantClaims = z.strictObject({
  ...claims,
  tctx: z.strictObject({
    ...binding,
    /** Names of the activities it may run. */
    steps: z.array(claimText),
    /** Types of the child workflows that may run under it, with ids that begin with its own and a `/`. */
    children: z.array(claimText).optional(),
    /** Of the arguments with which it may be started, as canonical JSON; absent: any. Not asked of what it continues as. */
    argumentsDigest: claimText.optional(),
    /** The one message that may carry the grant. With it, only a grant that has `argumentsDigest` too may start the workflow. */
    message: z.strictObject({ name: claimText, argumentsDigest: claimText }).optional(),
  }),
});
export type WorkflowGrantClaims = z.infer<typeof WorkflowGrantClaims>;

/** Claims of the grant of a run. Digests are lower-case hex SHA-256. */
export const GrantClaims = z.strictObject({
  ...claims,
  tctx: z.strictObject({
    ...binding,
    pipeline: claimText,
    version: z.int(),
    definitionDigest: claimText,
    /** Inline: of the digests of its batches; upload: of the id of the run; otherwise of the description of the source. */
    sourceDigest: claimText,
    /** Of the parameters as canonical JSON. */
    parametersDigest: claimText,
    /** Of where events go and the links that they carry; absent: no callback. */
    callbackDigest: claimText.optional(),
    steps: z.array(z.enum(steps)),
    policyDigest: claimText,
    /** `dlg_…` of the consent under which a schedule began the run; revoking that stops the run too. */
    delegation: claimText.optional(),
  }),
});
export type GrantClaims = z.infer<typeof GrantClaims>;

/** Claims of which the signature, issuer, audience and type are verified, and the thumbprint of the key that signed them. */
export interface VerifiedGrant<Claims = GrantClaims> {
  claims: Claims;
  key: string;
}

/** Who a run acts for, and who acts for them, as audit events name them. */
export function actorOf({
  sub,
  req,
  act,
}: WorkflowGrantClaims | GrantClaims): NonNullable<AuditEvent['actor']> {
  return {
    id: sub,
    kind: req.kind,
    ...(act && { actor: { id: act.id, issuer: act.iss, subject: act.sub, kind: act.kind } }),
  };
}

/** The principal that policies decide about while the workflow runs: as the token had it at acceptance. */
export function principalOf({ act, ...claims }: WorkflowGrantClaims | GrantClaims): Principal {
  const actor = act && { id: act.id, issuer: act.iss, subject: act.sub, kind: act.kind };
  return { ...claimedPrincipal(claims, claims.tctx.tenant), ...(actor && { actor }) };
}

/** The parts of a grant that can be revoked. */
export function credentialOf({ claims, key }: VerifiedGrant<WorkflowGrantClaims | GrantClaims>): Credential {
  const { sub, act, tctx, jti, req } = claims;
  return {
    tenant: tctx.tenant,
    principals: act ? [sub, act.id] : [sub],
    issuedAtS: req.iat,
    grants: [jti, tctx.workflowId],
    ...('delegation' in tctx &&
      tctx.delegation !== undefined && { delegation: tctx.delegation, outlastsSession: true }),
    key,
  };
}

/**
 * The grant that takes the place of `before` when its requester asks for the run to go on: of the same trace, principal,
 * actor, workflow, definition, source and steps, for as long again as the first lasted, with the roles of today.
 */
export function successorOf(
  before: GrantClaims,
  fresh: { jti: string; iat: number; issuedAtS: number; roles: readonly string[]; policyDigest: string },
): GrantClaims {
  const { jti, iat, issuedAtS, roles, policyDigest } = fresh;
  return {
    ...before,
    jti,
    iat,
    exp: iat + before.exp - before.iat,
    req: { ...before.req, iat: Math.floor(issuedAtS), roles: [...roles] },
    tctx: { ...before.tctx, policyDigest },
  };
}
