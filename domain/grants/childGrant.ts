/*
 * How a workflow that has no grant itself gives one to a child that it starts, by the id of the child. Workflow code writes
 * it down, and the interceptor, which alone can fill headers, takes it. Each workflow has a copy of this of its own.
 */

const grants = new Map<string, string>();

export function grantToChild(workflowId: string, grant: string): void {
  grants.set(workflowId, grant);
}

/** Once. */
export function takeGrantOfChild(workflowId: string | undefined): string | undefined {
  const grant = grants.get(workflowId ?? '');
  grants.delete(workflowId ?? '');
  return grant;
}
