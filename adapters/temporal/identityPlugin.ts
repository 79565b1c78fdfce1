import type { Context } from '@temporalio/activity';
import type { ClientPlugin, WorkflowClientInterceptor } from '@temporalio/client';
import type { BundlerPlugin, WorkerOptions, WorkerPlugin } from '@temporalio/worker';
import { type GrantClaims, principalOf, type WorkflowGrantClaims } from '../../domain/grants/grant.ts';
import { callerActivity } from '../../domain/grants/grantHeader.ts';
import { currentClaims, type Guard, grantActivityInterceptor } from './activityInterceptor.ts';
import { workflowInterceptorModules } from './bundleWorkflows.ts';
import { grantClientInterceptor } from './clientInterceptors.ts';

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
      },
    }),
    configureWorker({ interceptors, ...options }) {
      if (!guard) throw new TypeError('identityPlugin() for a worker needs a verifier and an authorizer.');
      return {
        ...options,
        ...withCaller(options),
        interceptors: {
          ...interceptors,
          // First, and so around all others: nothing of theirs happens in an attempt that is refused. The SDK would put
          // those of the deprecated form before it.
          activityInbound: [],
          activity: [
            (context) => grantActivityInterceptor(context, guard),
            ...(interceptors?.activityInbound ?? []).map((create) => (context: Context) => ({
              inbound: create(context),
            })),
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

/** A worker that had no activities must not begin to take those of others from the task queue: its own is a local one. */
function withCaller({
  activities = {},
  enableNonLocalActivities = true,
}: WorkerOptions): Partial<WorkerOptions> {
  return {
    activities: { ...activities, [callerActivity]: () => principalOf(currentClaims()) },
    enableNonLocalActivities: enableNonLocalActivities && Object.keys(activities).length > 0,
  };
}

function listOf<T>(interceptors: T[] | object | undefined): T[] {
  if (interceptors === undefined) return [];
  if (Array.isArray(interceptors)) return interceptors;
  throw new TypeError('Give the interceptors of workflows as a list; the object of factories is deprecated.');
}
