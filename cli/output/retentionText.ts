import type { RetentionChange } from '../../sdk/project.ts';

const dayMs = 86_400_000;
const parts = ['input', 'deadLetters', 'stages', 'runs'] as const;

/** What `apply` would change of how long runs are kept. */
export function retentionLines(changes: readonly RetentionChange[]): string[] {
  if (changes.length === 0) return [];
  return [
    '',
    'Kept otherwise, also of runs that have ended:',
    ...changes.map(({ pipeline, before, after }) => {
      const name = pipeline === '' ? 'other pipelines' : pipeline;
      if (!after) return `  ${name}: as other pipelines`;
      const changed = parts.filter((part) => !before || before[part] !== after[part]);
      const from = (part: (typeof parts)[number]) => (before ? `${textOf(before[part])} → ` : '');
      return `  ${name}: ${changed.map((part) => `${part} ${from(part)}${textOf(after[part])}`).join(', ')}`;
    }),
  ];
}

function textOf(ms: number | null): string {
  if (ms === null) return 'forever';
  return ms % dayMs === 0 ? `${ms / dayMs}d` : `${Math.round(ms / 3_600_000)}h`;
}
