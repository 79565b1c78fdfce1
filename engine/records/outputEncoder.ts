import { connectors } from '../../connectors/index.ts';
import { joinOutputs, splitOutputs } from '../../domain/connectors/outputRows.ts';
import type { EncodedBatch, RowWriter } from '../../domain/connectors/sinkKind.ts';
import type { OutputRow } from '../../domain/pipelines/applyTransform.ts';
import type { SinkManifest } from '../../domain/pipelines/manifest.ts';
import { outputsOf } from '../../domain/pipelines/outputs.ts';
import type { RecordRejection } from '../../domain/runs/rejection.ts';

/** Encodes the rows of one or several outputs. */
export function beginRows(sink: SinkManifest, expectedBytes: number): RowWriter {
  return sink.outputs
    ? new OutputsWriter(sink, expectedBytes)
    : connectors.sink(sink.kind).encoder(sink).begin(expectedBytes);
}

/** Reads encoded rows back, at most `rowsMax` of each output: the text of each column by its name. Several outputs: `_output` names it. */
export async function readRows(
  sink: SinkManifest,
  bytes: Uint8Array,
  rowsMax: number,
): Promise<Record<string, string | null>[]> {
  const found: Record<string, string | null>[] = [];
  const rows = { emitted: 0, sizeBytes: bytes.length, chunks: () => once(bytes) };
  for await (const part of splitOutputs({ sink, rows })) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of part.rows.chunks()) chunks.push(chunk);
    const named: Record<string, string> = part.output === '' ? {} : { _output: part.output };
    const { columns, kind } = part.sink;
    const texts = await connectors.sink(kind).encoder(part.sink).read(Buffer.concat(chunks), rowsMax);
    for (const row of texts)
      found.push({ ...named, ...Object.fromEntries(columns.map(({ name }, i) => [name, row[i]!])) });
  }
  return found;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** The rows of a record are added to all outputs or to none. */
class OutputsWriter implements RowWriter {
  readonly #outputs: readonly { output: string; writer: RowWriter; emitted: number }[];

  constructor(sink: SinkManifest, expectedBytes: number) {
    const outputs = outputsOf(sink);
    const share = Math.ceil(expectedBytes / outputs.length);
    this.#outputs = outputs.map(({ name, sink }) => ({
      output: name,
      writer: beginRows(sink, share),
      emitted: 0,
    }));
  }

  /** @param rows each an `OutputRow` */
  add(position: number, rows: readonly object[]): RecordRejection | undefined {
    const adds: (() => void)[] = [];
    for (const one of this.#outputs) {
      const own = (rows as readonly OutputRow[]).filter(({ output }) => output === one.output);
      if (own.length === 0) continue;
      const encoded = one.writer.encode!(
        position,
        own.map(({ row }) => row),
      );
      if (typeof encoded !== 'function')
        return { ...encoded, path: [one.output, encoded.path].filter(Boolean).join('.') };
      adds.push(() => {
        encoded();
        one.emitted += own.length;
      });
    }
    for (const add of adds) add();
    return undefined;
  }

  finish(): EncodedBatch {
    const parts = this.#outputs.map(({ output, writer, emitted }) => {
      const { bytes } = writer.finish();
      return { output, emitted, bytes };
    });
    return { bytes: joinOutputs(parts), replaced: [] };
  }
}
