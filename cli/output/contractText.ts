import { styleText } from 'node:util';
import type { ContractDifference } from '../../domain/contracts/contractChanges.ts';
import type { PipelinePlan, Touched } from '../../sdk/project.ts';
import { plain } from './terminal.ts';

/** One block for each pipeline that changes: its contract, its table, and whether `apply` would reject it. */
export function pipelineLines(
  plans: readonly PipelinePlan[],
  refusalOf: (plan: PipelinePlan) => string | undefined,
) {
  const changed = plans.filter(
    (plan) => refusalOf(plan) !== undefined || plan.tableChanges.length > 0 || differs(plan),
  );
  if (changed.length === 0) return ['The pipelines are as they were applied, and so are their tables.'];
  return ['Pipelines:', ...changed.flatMap((plan) => planLines(plan, refusalOf(plan)))];
}

function differs({ recorded, deployed }: PipelinePlan): boolean {
  return [recorded, deployed].some((one) => one !== null && one.changes.length > 0);
}

function planLines(plan: PipelinePlan, refusal: string | undefined): string[] {
  const { pipeline, file, version, recorded, deployed, tableChanges } = plan;
  const difference = deployed?.changes.length ? deployed : recorded;
  return [
    `  ${pipeline}  ${styleText('dim', `version ${version}, ${file}`)}`,
    ...(difference ? contractLines(difference) : []),
    ...(recorded?.changes.length
      ? [`    contracts/${pipeline}.json is another one: run waybill contracts`]
      : []),
    ...tableChanges.map(({ table, kind, message }) => `    table ${table}, ${kind}: ${plain(message)}`),
    ...(refusal === undefined ? [] : [`    ${styleText('red', 'apply rejects it')}`]),
  ];
}

/** Which runs and schedules go on with other code, and which do not go on. */
export function touchedLines(touched: readonly Touched[]): string[] {
  if (touched.length === 0) return [];
  return ['Touched by this deployment:', ...touched.flatMap(touchedBlock)];
}

function touchedBlock({ pipeline, served, runs, schedules }: Touched): string[] {
  const states = Object.entries(runs).map(([state, n]) => `${n} ${state}`);
  return [
    `  ${plain(pipeline)}${served ? '' : styleText('yellow', '  the project has it no more')}`,
    ...(states.length > 0
      ? [`    open runs: ${states.join(', ')}; they end on the code that they began with, where that is kept`]
      : []),
    ...schedules.map(({ id, tenant, owner, becomes }) => {
      const name = `${plain(id)} of ${plain(owner)} (${plain(tenant)})`;
      if (becomes === 'other code') return `    schedule ${name} goes on with the new code`;
      const remedy = served ? 'until its owner renews' : 'until the pipeline is deployed again';
      return `    schedule ${name} ${styleText('yellow', 'is blocked')} (${served ? 'DefinitionChanged' : 'PipelineNotFound'}) ${remedy}`;
    }),
  ];
}

export function contractLines({ changes }: ContractDifference): string[] {
  return changes.map(
    ({ side, kind, name, breaking, message }) =>
      `    ${breaking ? styleText('yellow', 'breaking  ') : 'compatible'}  ${side} ${kind}: ${plain(name)} ${plain(message)}`,
  );
}
