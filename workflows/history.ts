import { workflowInfo } from '@temporalio/workflow';
import { historyEventsMax } from './timeouts.ts';

/** Whether the rest belongs into a new execution. */
export function isHistoryLong(): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || historyLength > historyEventsMax;
}
