import { letterErrors } from './errors/letterErrors.ts';
import { requestErrors } from './errors/requestErrors.ts';
import { runErrors } from './errors/runErrors.ts';
import { scheduleErrors } from './errors/scheduleErrors.ts';
import { stepErrors } from './errors/stepErrors.ts';

/**
 * All error codes: the status over HTTP, whether a retry may succeed, and the public message, which says what is wrong and then
 * what to do. Codes do not change once released. `docs/errors.md` lists the same table; a test compares the two.
 */
export const errors = {
  ...requestErrors,
  ...stepErrors,
  ...scheduleErrors,
  ...runErrors,
  ...letterErrors,
} as const satisfies Record<string, { status: number; retryable: boolean; message: string }>;

export type ErrorCode = keyof typeof errors;

/**
 * A failure with a stable code. `detail` is private: it goes to the log, never into a response. `publicDetail` ends the message,
 * which runs and responses show: bounded, and without values of records.
 */
export class WaybillError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly publicDetail: string | undefined;
  /** Public: the fields of the request that are wrong. */
  readonly issues: readonly Issue[] | undefined;
  /** How many there are, where `issues` are the first of many. */
  readonly issueCount: number | undefined;
  /** Public: what the policy denies the caller. */
  readonly denied: Denied | undefined;
  /** Public: where an upload continues, and where the request wanted to. */
  readonly offsets: { expected: number; provided: number } | undefined;
  /** When to retry, where it is known better than the table of retries knows it. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    options: {
      detail?: string;
      publicDetail?: string;
      issues?: readonly Issue[];
      issueCount?: number;
      denied?: Denied;
      offsets?: { expected: number; provided: number };
      cause?: unknown;
      retryAfterMs?: number;
    } = {},
  ) {
    super(
      messageOf(code, options.publicDetail),
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = code;
    this.code = code;
    this.detail = options.detail ?? options.publicDetail;
    this.publicDetail = options.publicDetail?.slice(0, publicDetailMax);
    this.issues = options.issues;
    this.issueCount = options.issueCount;
    this.denied = options.denied;
    this.offsets = options.offsets;
    this.retryAfterMs = options.retryAfterMs;
  }

  get retryable(): boolean {
    return errors[this.code].retryable;
  }
}

const publicDetailMax = 500;

function messageOf(code: ErrorCode, publicDetail: string | undefined): string {
  const { message } = errors[code];
  return publicDetail ? `${message} ${publicDetail.slice(0, publicDetailMax)}` : message;
}

export interface Issue {
  /** Path into the request, like a JSON pointer; `''` is the whole request. */
  path: string;
  message: string;
}

/** All that a denied caller learns. The reason is for administrators (`waybill policy explain`). */
export interface Denied {
  action: string;
  /** Such as `pipeline orders`. */
  resource: string;
  /** Who can help, such as `an operator of acme`. */
  ask: string;
}
