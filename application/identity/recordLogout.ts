import { WaybillError } from '../../domain/errors.ts';
import type { ApplicationPorts } from '../ports.ts';

/** Records that a principal has signed out, once for each logout token. Throws `LogoutTokenInvalid`, `LogoutSubjectMissing`. */
export async function recordLogout(
  { logoutTokens, logoutRecords }: Pick<ApplicationPorts, 'logoutTokens' | 'logoutRecords'>,
  logoutToken: string,
  txn: string,
): Promise<void> {
  const logout = await logoutTokens.verify(logoutToken);
  if (!(await logoutRecords.record(logout, txn)))
    throw new WaybillError('LogoutTokenInvalid', { detail: 'it was seen before' });
}
