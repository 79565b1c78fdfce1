import { styleText } from 'node:util';
import type { StrayName } from '../../adapters/policy/names.ts';
import { plain } from './plain.ts';

/** Warnings of policies that name a pipeline which is not there. */
export function strayLines(stray: readonly StrayName[]): string[] {
  return stray.map(({ policy, pipeline, nearest }) => {
    const meant = nearest === null ? '' : ` Did you mean "${nearest}"?`;
    return `${styleText('yellow', '!')} ${policy} names the pipeline "${plain(pipeline)}", which the project does not have.${meant}`;
  });
}
