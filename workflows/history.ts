import { workflowInfo } from '@temporalio/workflow';
import { historyEventsMax } from './timeouts.ts';

/** Whether the run should continue as new. */
export function isHistoryLong(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || historyLength > historyEventsMax;
}
