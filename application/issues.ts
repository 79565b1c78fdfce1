import { type ErrorCode, type Issue, WaybillError } from '../domain/errors.ts';

/** A request can be wrong in more ways than its caller wants to read at once. */
const issuesMax = 100;

/** A failure that names the first hundred issues, and how many there are. `under`: the path of what was checked. */
export function issuesError(
  code: ErrorCode,
  issues: readonly { path: readonly PropertyKey[]; message: string }[],
  under: readonly string[] = [],
  issueCount = issues.length,
): WaybillError {
  const shown = issues
    .slice(0, issuesMax)
    .map(({ path, message }): Issue => ({ path: `/${[...under, ...path].join('/')}`, message }));
  return new WaybillError(code, { issues: shown, issueCount });
}
