import type { RowEncoder, RowTexts } from '../../../domain/connectors/sinkKind.ts';
import { parseExactJson, writeExactJson } from '../../../domain/json/parseExactJson.ts';
import type { SinkManifest, SqlType } from '../../../domain/pipelines/manifest.ts';
import { LineWriter } from '../../lineWriter.ts';
import { rowTextsOf } from './rowTexts.ts';

/** A JSON object a line. Numbers have each of their digits; times are RFC 3339 in UTC. */
export function createNdjsonEncoder(sink: SinkManifest): RowEncoder {
  const columns = sink.columns.map(({ name, type }) => ({ type, label: `${JSON.stringify(name)}:` }));
  const lineOf = (texts: RowTexts) =>
    `{${columns.map(({ type, label }, i) => `${label}${jsonOf(type, texts[i]!)}`).join(',')}}\n`;
  return {
    begin(expectedBytes) {
      const lines = new LineWriter(expectedBytes);
      return {
        add(_position, rows) {
          const texts = rowTextsOf(sink, rows);
          if ('code' in texts) return texts;
          for (const row of texts) lines.text(lineOf(row));
          return undefined;
        },
        finish: () => ({ bytes: lines.finish(), replaced: [] }),
      };
    },
    read: (bytes, rowsMax) => readLines(sink, Buffer.from(bytes).toString(), rowsMax),
  };
}

const written: ReadonlySet<SqlType> = new Set(['integer', 'bigint', 'numeric', 'double precision', 'jsonb']);

function jsonOf(type: SqlType, text: string | null): string {
  if (text === null) return 'null';
  if (type === 'boolean') return text === 't' ? 'true' : 'false';
  return written.has(type) ? text : JSON.stringify(text);
}

/** The texts of columns, of lines of JSON. */
export function readLines({ columns }: SinkManifest, lines: string, rowsMax: number): RowTexts[] {
  const rows = lines.split('\n', rowsMax).filter((line) => line !== '');
  return rows.map((line) => {
    const values = parseExactJson(line).value as Record<string, unknown>;
    return columns.map(({ name }) => textOf(values[name]));
  });
}

function textOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : writeExactJson(value);
}
