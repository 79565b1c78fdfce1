import type { ErrorCode } from '../errors.ts';
import type { LoadedPipeline } from '../ports/definitions.ts';
import type { DelegationClaims } from './delegation.ts';
import type { Schedule } from './schedule.ts';

/** All that it rests on whether the consent of an owner still covers what their schedule would do now. */
export interface ConsentEvidence {
  schedule: Schedule;
  /** The consent, of which the signature is verified; `undefined` where there is none. */
  claims: DelegationClaims | undefined;
  /** Whether another one, or a change, has taken its place. */
  ended: boolean;
  /** The pipeline as it is served today. */
  pipeline: LoadedPipeline | undefined;
  /** Of what a consent binds of that pipeline. */
  boundDigest: string | undefined;
  /** Of the terms on record. */
  termsDigest: string;
  nowS: number;
  isRevoked(): boolean;
  /** Whether today’s policy lets the owner schedule and trigger it. */
  isAllowed(): boolean;
}

interface ConsentCheck {
  name: string;
  /** Why the schedule is blocked where it fails. */
  code: ErrorCode;
  passes(evidence: ConsentEvidence & { claims: DelegationClaims }): boolean;
}

/** In the order in which they are asked, at each firing and whenever a schedule is resumed. Compared with `===` only. */
const consentChecks: readonly ConsentCheck[] = [
  {
    name: 'binding',
    code: 'DelegationInvalid',
    passes: ({ claims, schedule }) =>
      claims.jti === schedule.delegation?.id &&
      claims.tenant === schedule.tenant &&
      claims.schedule === schedule.id &&
      claims.sub === schedule.owner.id &&
      claims.req.iss === schedule.owner.issuer &&
      claims.req.sub === schedule.owner.subject,
  },
  { name: 'end', code: 'ConsentRequired', passes: ({ ended }) => !ended },
  {
    name: 'terms',
    code: 'ConsentRequired',
    passes: ({ claims, schedule, termsDigest }) =>
      claims.termsDigest === termsDigest && claims.pipeline === schedule.pipeline,
  },
  { name: 'pipeline', code: 'PipelineNotFound', passes: ({ pipeline }) => pipeline !== undefined },
  {
    name: 'definition',
    code: 'DefinitionChanged',
    passes: ({ claims, pipeline, boundDigest }) =>
      claims.definitionDigest === pipeline?.digest ||
      (claims.boundDigest !== undefined && claims.boundDigest === boundDigest),
  },
  { name: 'time', code: 'DelegationExpired', passes: ({ claims, nowS }) => nowS < claims.exp },
  { name: 'revocation', code: 'DelegationRevoked', passes: ({ isRevoked }) => !isRevoked() },
  { name: 'policy', code: 'PolicyDenied', passes: ({ isAllowed }) => isAllowed() },
];

/** Why the consent does not hold, or `undefined`. Throws what is not known of revocations and of the policy. */
export function consentFailure(evidence: ConsentEvidence): ErrorCode | undefined {
  const { claims } = evidence;
  if (!claims) return 'ConsentRequired';
  return consentChecks.find((check) => !check.passes({ ...evidence, claims }))?.code;
}
