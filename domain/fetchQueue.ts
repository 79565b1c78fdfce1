/**
 * Where `fetch` is worked on: a task queue of its own beside the workers' queue, so that sources which take their time
 * hold no slot that another step, perhaps of another tenant, is waiting for.
 */
export function fetchQueueOf(taskQueue: string): string {
  return `${taskQueue}-fetch`;
}
