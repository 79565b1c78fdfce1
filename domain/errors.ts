import { decisionErrors } from './errors/decisionErrors.ts';
import { requestErrors } from './errors/requestErrors.ts';
import { runErrors } from './errors/runErrors.ts';
import { scheduleErrors } from './errors/scheduleErrors.ts';
import { stepErrors } from './errors/stepErrors.ts';

/**
 * Every failure that Waybill names: what it means over HTTP and to Temporal, and what a caller may read.
 * Codes never change once released. `docs/errors.md` lists the same table; a test compares the two.
 * `domain/errors/` has its parts, each by when it is said.
 * The public message is safe to show and says what to do next; the private detail goes to the log only.
 */
export const errors = {
  ...requestErrors,
  ...stepErrors,
  ...decisionErrors,
  ...scheduleErrors,
  ...runErrors,
};

export type ErrorCode = keyof typeof errors;

/** A failure with a stable code. `detail` is private: it goes to the log, never to a caller. */
export class WaybillError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  /** Safe to show: which fields of the request were wrong, as `{ path, message }`. */
  readonly issues: readonly Issue[] | undefined;
  /** Safe to show: what the policy does not let the caller do. */
  readonly denied: Denied | undefined;
  /** When it is worth trying again, where that is known better than by a table. */
  readonly retryAfterMs: number | undefined;

  constructor(
    code: ErrorCode,
    options: {
      detail?: string;
      issues?: readonly Issue[];
      denied?: Denied;
      cause?: unknown;
      retryAfterMs?: number;
    } = {},
  ) {
    super(errors[code].message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = code;
    this.code = code;
    this.detail = options.detail;
    this.issues = options.issues;
    this.denied = options.denied;
    this.retryAfterMs = options.retryAfterMs;
  }

  get retryable(): boolean {
    return errors[this.code].retryable;
  }
}

export interface Issue {
  /** JSON-pointer-like path into the request, `''` for the whole. */
  path: string;
  message: string;
}

/** All that a denied caller learns; why is for whoever may ask for an explanation. */
export interface Denied {
  action: string;
  /** Such as `pipeline orders`. */
  resource: string;
  /** Whom to ask, such as `whoever is operator in acme`. */
  ask: string;
}
