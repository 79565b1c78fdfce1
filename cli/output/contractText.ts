import { styleText } from 'node:util';
import type { ContractDifference } from '../../domain/contracts/contractChanges.ts';
import type { PipelinePlan } from '../../sdk/project.ts';
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
  const { pipeline, file, version, recorded, deployed, table, tableChanges } = plan;
  const difference = deployed?.changes.length ? deployed : recorded;
  return [
    `  ${pipeline}  ${styleText('dim', `version ${version}, ${file}`)}`,
    ...(difference ? contractLines(difference) : []),
    ...(recorded?.changes.length
      ? [`    contracts/${pipeline}.json is another one: run waybill contracts`]
      : []),
    ...tableChanges.map(({ kind, message }) => `    table ${table}, ${kind}: ${plain(message)}`),
    ...(refusal === undefined ? [] : [`    ${styleText('red', 'apply rejects it')}`]),
  ];
}

export function contractLines({ changes }: ContractDifference): string[] {
  return changes.map(
    ({ side, kind, name, breaking, message }) =>
      `    ${breaking ? styleText('yellow', 'breaking  ') : 'compatible'}  ${side} ${kind}: ${plain(name)} ${plain(message)}`,
  );
}
