import type { components, operations } from '../generated/openapi.d.ts';
import { answered, type Connection, type Page } from './connection.ts';

/** A gate at which a run waits for people, or waited. */
export type Approval = components['schemas']['Approval'];
export type ApprovalDetail = components['schemas']['ApprovalDetail'];
export type ApprovalFilter = NonNullable<operations['listApprovals']['parameters']['query']>;
export type Decision = components['schemas']['Decision'];
/** With its `token`: what was signed. */
export type SignedDecision = components['schemas']['SignedDecision'];
export type DecisionRequest = operations['decide']['requestBody']['content']['application/json'];
export type Sample = operations['approvalSample']['responses'][200]['content']['application/json'];

export interface ApprovalsClient {
  /** Approvals of runs that you may read, newest first. `view`: those to decide, of your own runs, or that you have decided. */
  listApprovals(filter?: ApprovalFilter): Promise<Page<Approval>>;
  getApproval(id: string): Promise<ApprovalDetail>;
  /** Some of the rows that would be published, for callers that may see values. */
  approvalSample(id: string): Promise<Sample>;
  /** Decides about what `digest` names. The same again is the same decision. */
  decide(id: string, decision: DecisionRequest): Promise<SignedDecision>;
}

/** Approvals: what runs wait for, and decisions about it. */
export function approvalsClient({ http }: Connection): ApprovalsClient {
  return {
    listApprovals: async (query = {}) => answered(await http.GET('/v1/approvals', { params: { query } })),
    getApproval: async (id) => answered(await http.GET('/v1/approvals/{id}', { params: { path: { id } } })),
    approvalSample: async (id) =>
      answered(await http.GET('/v1/approvals/{id}/sample', { params: { path: { id } } })),
    decide: async (id, body) =>
      answered(await http.POST('/v1/approvals/{id}/decisions', { params: { path: { id } }, body })),
  };
}
