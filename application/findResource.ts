import type { Approval } from '../domain/approvals/approval.ts';
import { canonicalJson } from '../domain/canonicalJson.ts';
import type { DeadLetter } from '../domain/deadLetters/deadLetter.ts';
import { WaybillError } from '../domain/errors.ts';
import type { DefinitionFacts } from '../domain/policies/policy.ts';
import type { LoadedPipeline } from '../domain/ports/definitions.ts';
import type { Principal } from '../domain/principal.ts';
import type { Run } from '../domain/runs/run.ts';
import { type Schedule, scheduleId } from '../domain/schedules/schedule.ts';
import type { Delivery } from '../domain/webhooks/webhookDelivery.ts';
import type { ApplicationPorts } from './ports.ts';
import { pipelineNotFound } from './readable.ts';
import { sha256 } from './sha256.ts';

/**
 * What a request is about. `named pipeline`: the body names it, and the use case authorizes; `chosen letters`: so does its choice; `delivery`,
 * `approval`, `dead letter`: the policy is asked about its run; `schedule`: about its pipeline; `instance`: this Waybill as a whole; `self`: the caller alone.
 */
export type ResourceKind =
  | 'pipeline'
  | 'named pipeline'
  | 'run'
  | 'delivery'
  | 'approval'
  | 'dead letter'
  | 'chosen letters'
  | 'schedule'
  | 'tenant'
  | 'instance'
  | 'self';

export interface FoundResource {
  pipeline?: LoadedPipeline;
  run?: Run;
  delivery?: Delivery;
  /** Of a delivery about a schedule: its pipeline. */
  scheduled?: DefinitionFacts;
  schedule?: Schedule;
  approval?: Approval;
  letter?: DeadLetter;
}

export type ResourcePorts = Pick<
  ApplicationPorts,
  'runs' | 'definitions' | 'policy' | 'deliveries' | 'approvals' | 'schedules' | 'deadLetters'
>;

/** Of what another tenant has, the answer is the same as of what does not exist. */
export async function findResource(
  ports: ResourcePorts,
  kind: ResourceKind,
  id: string,
  principal: Principal,
): Promise<FoundResource> {
  const { tenant } = principal;
  switch (kind) {
    case 'pipeline': {
      const pipeline = ports.definitions.find(id);
      if (!pipeline) throw pipelineNotFound(ports, principal, id);
      return { pipeline };
    }
    case 'run': {
      const run = runIdPattern.test(id) ? await ports.runs.find(tenant, id) : undefined;
      if (!run) throw new WaybillError('RunNotFound');
      return { run };
    }
    case 'delivery': {
      const found = deliveryIdPattern.test(id) ? await ports.deliveries.find(tenant, id) : undefined;
      if (!found) throw new WaybillError('DeliveryNotFound');
      return found;
    }
    case 'approval': {
      const found = approvalIdPattern.test(id) ? await ports.approvals.find(tenant, id) : undefined;
      if (!found) throw new WaybillError('ApprovalNotFound');
      const { shown, digest } = found.approval;
      // An approver must never sign a digest of something else than they see, even where the record was changed.
      if (sha256(canonicalJson(shown)) !== digest) throw new WaybillError('ApprovalTampered', { detail: id });
      return found;
    }
    case 'dead letter': {
      const letter = letterIdPattern.test(id) ? await ports.deadLetters.find(tenant, id) : undefined;
      const run = letter && (await ports.runs.find(tenant, letter.runId));
      if (!letter || !run) throw new WaybillError('DeadLetterNotFound');
      return { letter, run };
    }
    case 'schedule': {
      const schedule = scheduleId.safeParse(id).success ? await ports.schedules.find(tenant, id) : undefined;
      if (!schedule) throw new WaybillError('ScheduleNotFound');
      const pipeline = ports.definitions.find(schedule.pipeline);
      return { schedule, ...(pipeline && { pipeline }) };
    }
    default:
      return {};
  }
}

/** PostgreSQL cannot even compare a string that holds a zero byte. */
const runIdPattern = /^[A-Za-z0-9._-]{1,200}$/;
const deliveryIdPattern = /^dlv_[0-9a-f-]{36}$/;
const approvalIdPattern = /^apr_[0-9a-f-]{36}$/;
export const letterIdPattern = /^dl_[A-Za-z0-9_-]{22}$/;
