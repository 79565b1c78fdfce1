import type { SinkManifest } from './manifest.ts';

/** An output of a pipeline; its only one has the name `''`. */
export interface Output {
  name: string;
  sink: SinkManifest;
}

/** The outputs of a pipeline, by their names: the sink itself, or each of those that it stands for. */
export function outputsOf(sink: SinkManifest): Output[] {
  if (!sink.outputs) return [{ name: '', sink }];
  return Object.entries(sink.outputs)
    .map(([name, one]) => ({ name, sink: one }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** What rows are written to, in the order in which every transaction takes its locks. */
export function tablesOf(sink: SinkManifest): string[] {
  return outputsOf(sink)
    .map((one) => one.sink.table)
    .sort();
}
