import type { ClientPlugin, WorkflowClientInterceptor } from '@temporalio/client';
import type { BundlerPlugin, WorkerPlugin } from '@temporalio/worker';
import type { GrantClaims, WorkflowGrantClaims } from '../../domain/grant.ts';
import { type Guard, grantActivityInterceptor } from './activityInterceptor.ts';
import { workflowInterceptorModules } from './bundleWorkflows.ts';
import { grantClientInterceptor, grantScheduleInterceptor } from './clientInterceptors.ts';

/**
 * Everything that identity needs of a client, a worker and a bundle of workflows, as one plugin: give it to
 * `new Client({ plugins })`, `Worker.create({ plugins })` and `bundleWorkflowCode({ plugins })`.
 *
 * A client needs no guard: it carries what `carryingGrant` says. A worker without one would verify nothing, so there
 * `Worker.create` throws.
 */
export function identityPlugin<Claims extends WorkflowGrantClaims | GrantClaims>(
  guard?: Guard<Claims>,
): ClientPlugin & WorkerPlugin & BundlerPlugin {
  return {
    name: 'waybill.identity',
    configureClient: ({ interceptors, ...options }) => ({
      ...options,
      interceptors: {
        ...interceptors,
        workflow: [...listOf<WorkflowClientInterceptor>(interceptors?.workflow), grantClientInterceptor],
        schedule: [...(interceptors?.schedule ?? []), grantScheduleInterceptor],
      },
    }),
    configureWorker({ interceptors, ...options }) {
      if (!guard) throw new TypeError('identityPlugin() for a worker needs a verifier and an authority.');
      return {
        ...options,
        interceptors: {
          ...interceptors,
          activity: [
            // First, and so around all others: nothing of theirs happens in an attempt that is refused.
            (context) => grantActivityInterceptor(context, guard),
            ...(interceptors?.activity ?? []),
          ],
        },
      };
    },
    // A worker hands its plugins on to the bundler; a prebuilt bundle brings the interceptors with it.
    configureBundler: (options) => ({
      ...options,
      workflowInterceptorModules: [
        ...workflowInterceptorModules,
        ...(options.workflowInterceptorModules ?? []),
      ],
    }),
  };
}

function listOf<T>(interceptors: T[] | object | undefined): T[] {
  if (interceptors === undefined) return [];
  if (Array.isArray(interceptors)) return interceptors;
  throw new TypeError('Give the interceptors of workflows as a list; the object of factories is deprecated.');
}
