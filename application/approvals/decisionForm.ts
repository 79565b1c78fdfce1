import type { Approval } from '../../domain/approvals/approval.ts';
import { formSchemaOf } from '../../domain/approvals/approvalForm.ts';
import { WaybillError } from '../../domain/errors.ts';
import { issuesError } from '../issues.ts';
import type { DecisionInput } from './mintDecision.ts';

/**
 * Compares the form with the schema that the approval was requested with: the definition may be another one by now. A rejection may
 * leave the form out. Throws `FormInvalid`.
 */
export function checkForm(
  asked: Approval['form'],
  { vote, form }: Pick<DecisionInput, 'vote' | 'form'>,
): void {
  if (!asked) {
    if (form) throw invalid([{ path: '/form', message: 'This approval asks for none.' }]);
    return;
  }
  if (!form && vote === 'reject') return;
  const text = JSON.stringify(form);
  if (text?.includes('\\u0000') || /\\ud[89a-f]/i.test(text))
    throw invalid([{ path: '/form', message: 'Text may hold neither NUL nor half of a surrogate pair.' }]);
  const parsed = formSchemaOf(asked).safeParse(form ?? {});
  if (parsed.success) return;
  throw issuesError('FormInvalid', parsed.error.issues, ['form']);
}

function invalid(issues: { path: string; message: string }[]): WaybillError {
  return new WaybillError('FormInvalid', { issues });
}
