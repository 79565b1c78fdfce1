import { type ApprovalStatus, approvalStatusOf } from './approvalStatus.ts';
import type { Dependencies } from './index.ts';
import { audited, runOf } from './run.ts';

/** What time has brought to the approval of the run; early, nothing. Nobody has done it, so nobody is named. */
export async function lapseStep(deps: Dependencies): Promise<ApprovalStatus | null> {
  const run = await runOf(deps);
  const approval = await deps.approvals.lapse(run, (action, detail) => ({
    ...audited(deps, action, detail),
    actor: null,
  }));
  return approval ? approvalStatusOf(approval) : null;
}
