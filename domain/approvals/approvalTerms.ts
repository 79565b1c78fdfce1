import type { z } from 'zod';
import type { PrincipalKind } from '../principal.ts';
import type { Counts } from '../runs/run.ts';
import type { Changes } from './approval.ts';

/** What an author writes under `approval`. Durations are a whole number and one of `s m h d w`. */
export type ApprovalTerms<Parameters> = {
  /** Roles of which an approver has one. The policy has to allow them `approve` too. */
  by: string | readonly string[];
  /** How many different people must approve. Default 1. One rejection is enough. */
  quorum?: number;
  /** How long they have, within the deadline of the pipeline. Default `'24h'`, or the deadline where that is shorter. */
  within?: string;
  /** Reminds the approvers at this interval. Default: no reminder. */
  remind?: string;
  /** The form that an approver fills in; a strict object schema. */
  form?: z.ZodObject;
  /** A URL that gets a signed webhook when approval is requested and when it ends. */
  notify?: string;
} & Timeout &
  (BeforeIngest<Parameters> | BeforePublish<Parameters>);

type Timeout =
  /** A timeout never approves. */
  | { onTimeout?: 'reject'; escalateTo?: undefined }
  /** The roles of `escalateTo` may decide too, where the policy allows them `approve`. The time limit starts again. */
  | { onTimeout: 'escalate'; escalateTo: string | readonly string[] };

interface BeforeIngest<Parameters> {
  /** Before the first byte is read. */
  before: 'ingest';
  /** Whether a run has to wait; pure. Default: each does. Whatever is not `false` waits, and so does every run of an agent. */
  when?: (summary: IngestSummary<Parameters>) => boolean;
}

interface BeforePublish<Parameters> {
  /** Once all rows are transformed, before any is visible in the sink. */
  before: 'publish';
  /** Whether a run has to wait; pure. Default: each does. Whatever is not `false` waits, and so does every run of an agent. */
  when?: (summary: PublishSummary<Parameters>) => boolean;
}

export interface IngestSummary<Parameters> {
  readonly parameters: Parameters;
  readonly requestedBy: { readonly kind: PrincipalKind };
}

export interface PublishSummary<Parameters>
  extends Readonly<Pick<Counts, 'read' | 'passed' | 'filtered' | 'rejected' | 'emitted'>> {
  readonly parameters: Parameters;
  /** What publishing would do to what is stored. */
  readonly changes: Readonly<Changes>;
  /** Records by the code with which they were refused. */
  readonly rejectedByCode: Readonly<Record<string, number>>;
  /** Names of the quality rules that are breached. */
  readonly breaches: readonly string[];
}

/** The part of an approval that stays with the module. */
export interface ApprovalCode {
  when?: (summary: never) => unknown;
  form?: z.ZodType;
}
