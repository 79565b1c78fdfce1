import { CopyText, escapeField } from '../../connectors/sinks/postgres/copyText.ts';
import { defaultLimits, type Manifest, type SinkManifest } from '../../domain/pipelines/manifest.ts';
import type { EncodedRows } from '../../domain/ports/sinkRows.ts';

/** A row of `people`. */
export type PeopleRow = [id: number, name: string | null];

export const people: SinkManifest = {
  kind: 'postgres',
  table: 'people',
  key: ['id'],
  columns: [
    { name: 'id', type: 'integer', nullable: false },
    { name: 'name', type: 'text', nullable: true },
  ],
};

/** A pipeline with one column. */
export const things: Manifest = {
  id: 'things',
  version: 1,
  labels: {},
  source: { kind: 'inline' },
  sink: {
    kind: 'postgres',
    table: 'things',
    key: ['id'],
    columns: [{ name: 'id', type: 'integer', nullable: false }],
  },
  limits: defaultLimits,
  deadlineMs: 1000,
};

let calls = 0;

/** Rows of a batch as the encoder writes them. Every other call says that they are many, so that both ways to the server are taken. */
export function encodedRows(rows: (string | number | null)[][], emitted: number): EncodedRows {
  const text = new CopyText(1024);
  for (const row of rows) {
    const fields = row.map((value) => escapeField(value === null ? null : String(value)));
    text.add(`${fields.join('\t')}\n`);
  }
  const bytes = text.finish([]);
  const sizeBytes = calls++ % 2 === 0 ? bytes.byteLength : 10 ** 9;
  return {
    emitted,
    sizeBytes,
    async *chunks() {
      yield bytes;
    },
  };
}
