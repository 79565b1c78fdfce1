import type { RowTexts } from '../../../domain/connectors/sinkKind.ts';
import type { SinkManifest } from '../../../domain/pipelines/manifest.ts';
import { type RecordRejection, rejections } from '../../../domain/runs/rejection.ts';
import { columnText } from '../postgres/columnText.ts';

/** The rows of one record as texts of their columns, or why one of them cannot be kept. */
export function rowTextsOf(
  { columns }: SinkManifest,
  rows: readonly Record<string, unknown>[],
): RowTexts[] | RecordRejection {
  const all: RowTexts[] = [];
  for (const row of rows) {
    const texts: (string | null)[] = [];
    for (const { name, type, nullable } of columns) {
      const text = columnText(type, row[name]);
      const wrong =
        text === null
          ? nullable
            ? undefined
            : { code: 'OutputMismatch' as const }
          : typeof text === 'object'
            ? text
            : type === 'double precision' && !Number.isFinite(Number(text))
              ? { code: 'NotJson' as const }
              : undefined;
      if (wrong) {
        const path = 'path' in wrong && wrong.path ? `${name}.${wrong.path}` : name;
        return { code: wrong.code, path: path.slice(0, 256), message: rejections[wrong.code] };
      }
      texts.push(text as string | null);
    }
    all.push(texts);
  }
  return all;
}
