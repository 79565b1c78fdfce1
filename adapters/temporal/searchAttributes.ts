import { defineSearchAttributeKey, SearchAttributeType, TypedSearchAttributes } from '@temporalio/common';

/** What operators can search runs by, in Temporal’s Web UI and CLI. All are keywords. */
export const searchAttributeNames = [
  'WaybillTenant',
  'WaybillPrincipal',
  'WaybillPipeline',
  'WaybillState',
] as const;

const [tenantKey, principalKey, pipelineKey, stateKey] = searchAttributeNames.map((name) =>
  defineSearchAttributeKey(name, SearchAttributeType.KEYWORD),
);

/** Of a workflow that is no run: its tenant alone, so that no search for runs finds it. */
export function searchAttributesOfTenant(tenant: string): TypedSearchAttributes {
  return new TypedSearchAttributes([{ key: tenantKey!, value: tenant }]);
}

export function searchAttributesOf(run: {
  tenant: string;
  principal: string;
  pipeline: string;
}): TypedSearchAttributes {
  return new TypedSearchAttributes([
    { key: tenantKey!, value: run.tenant },
    { key: principalKey!, value: run.principal },
    { key: pipelineKey!, value: run.pipeline },
    { key: stateKey!, value: 'running' },
  ]);
}
