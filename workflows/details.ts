import type { QualitySummary } from '../activities/quality.ts';
import type { Counts } from '../domain/runs/run.ts';
import { type Cursor, publishes, type RunInput } from './messages.ts';

/** What an operator reads in Temporal’s Web UI under “current details”, in Markdown. */
export function describeProgress(
  input: RunInput,
  cursor: Cursor | undefined,
  outcome?: {
    state: string;
    counts: Counts;
    reason?: { code: string; message: string };
    quality?: QualitySummary;
  },
): string {
  const counts = outcome?.counts ?? cursor?.counts;
  const lines = [`**${input.pipeline}** v${input.version} · ${outcome?.state ?? 'running'}`];
  if (outcome?.reason) lines.push(`Reason: \`${outcome.reason.code}\`: ${outcome.reason.message}`);
  if (outcome?.quality) {
    const { state, breached } = outcome.quality;
    lines.push(`Quality: ${[state, ...breached.map((rule) => `\`${rule}\``)].join(' · ')}`);
  }
  const approval = cursor?.approval;
  if (approval?.state === 'pending' && !outcome) {
    const people = approval.quorum === 1 ? 'one person' : `${approval.quorum} people`;
    lines[0] = `**${input.pipeline}** v${input.version} · awaiting-approval`;
    lines.push(
      `Waits before \`${input.gate}\` for ${people} of: ${approval.by.join(', ')}, until ${approval.expiresAt} (\`${approval.id}\`)`,
    );
    if (approval.breached)
      lines.push(`Breached: ${approval.breached.map((rule) => `\`${rule}\``).join(' · ')}`);
  }
  if (cursor) {
    const arrived = cursor.inputComplete ? `${cursor.received}` : `${cursor.received}, more to come`;
    const moved = publishes(input) ? `${cursor.transformed} prepared` : `${cursor.stored} stored`;
    lines.push(`Batches: ${moved} of ${arrived}`);
    if (input.recordsPerSecond !== undefined)
      lines.push(`Throttled to ${input.recordsPerSecond} records a second`);
  }
  if (counts) {
    const { read, passed, filtered, rejected, emitted, stored, unchanged, deduplicated } = counts;
    lines.push(
      '| read | passed | filtered | rejected | emitted | stored | unchanged | deduplicated |',
      '|---|---|---|---|---|---|---|---|',
      `| ${[read, passed, filtered, rejected, emitted, stored, unchanged, deduplicated].join(' | ')} |`,
    );
  }
  return lines.join('\n\n').replaceAll('|\n\n|', '|\n|');
}
