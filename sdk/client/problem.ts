import type { components } from '../generated/openapi.d.ts';

/** Problem details (RFC 9457) of a request that Waybill refused. */
export type Problem = components['schemas']['Problem'];

/** Waybill answered, and the answer is no. `code` is stable: docs/errors.md lists them. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.title);
    this.problem = problem;
  }

  get code(): string {
    return this.problem.code;
  }

  get status(): number {
    return this.problem.status;
  }
}

/** Nothing answered, or what answered was cut off: whether the request had an effect is not known. */
export class ApiUnreachable extends Error {
  override readonly name = 'ApiUnreachable';
  readonly code = 'ApiUnreachable';

  constructor(baseUrl: string, cause?: unknown) {
    super(`Waybill does not answer at ${baseUrl}.`, { cause });
  }
}

/** The problem in an answer; one that is none (a proxy’s page) becomes `Internal`. */
export function problemIn(response: Response, body: unknown): Problem {
  if (typeof body === 'object' && body !== null && 'code' in body && typeof body.code === 'string')
    return body as Problem;
  return {
    type: 'about:blank',
    title: `${response.url} answered ${response.status} ${response.statusText}`.trimEnd(),
    status: response.status,
    code: 'Internal',
    traceId: response.headers.get('x-trace-id') ?? '',
  };
}
