import { type Issue, WaybillError } from '../../domain/errors.ts';

/** Policies cannot be used as they are written; each issue says where (`path`) and what to write instead. */
export function policyInvalid(issues: readonly Issue[]): WaybillError {
  const detail = issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ');
  return new WaybillError('PolicyInvalid', { detail, issues });
}
