/*
 * Task queues beside the workers’ own, which is for runs. What is worked on in the last two carries no grant, so nothing else is; and
 * what takes its time in one of them holds no slot that a step, perhaps of another tenant, is waiting for.
 */

/** For `fetch`: what reads sources from outside. */
export function fetchQueueOf(taskQueue: string): string {
  return `${taskQueue}-fetch`;
}

/** For deliveries of events to their receivers. */
export function deliveryQueueOf(taskQueue: string): string {
  return `${taskQueue}-deliver`;
}

/** For firings, which do nothing but ask the API for a grant, and for the sweep, which removes what the database says is due. */
export function firingQueueOf(taskQueue: string): string {
  return `${taskQueue}-fire`;
}
