import { z } from 'zod';
import type { Connectors } from '../connectors/connectors.ts';
import { DefinitionError, describedIn } from './definitionError.ts';
import type { Column, SinkManifest } from './manifest.ts';
import { tablesOf } from './outputs.ts';

/** One of several outputs, as the definition has it. */
export interface WrittenOutput {
  row: z.ZodType;
  sink: { kind: string } & Record<string, unknown>;
}

/**
 * The sink that stands for those of several outputs. One transaction stores the rows of all, so they are of one kind, which is in the
 * database. Throws `DefinitionError`.
 */
export function describeOutputs(
  declared: Readonly<Record<string, WrittenOutput>>,
  columnsOf: (row: z.ZodType) => Column[],
  connectors: Connectors,
): SinkManifest {
  const names = Object.keys(declared).sort();
  const { kind } = declared[names[0]!]!.sink;
  const outputs: Record<string, SinkManifest> = {};
  for (const name of names) {
    const { row, sink } = declared[name]!;
    checkKind(name, sink, kind, connectors);
    outputs[name] = describedIn(`outputs.${name}`, () =>
      connectors.sink(kind).describe(sink, columnsOf(row)),
    );
    const twin = names.find((other) => other !== name && outputs[other]?.table === outputs[name]!.table);
    if (twin) fail(name, 'table', `is that of output ${twin} too. Give each a table of its own`);
    if (outputs[name].atEnd !== outputs[names[0]!]!.atEnd)
      fail(name, 'mode', 'must be “replace” for all outputs or for none: they are published together');
  }
  const { atEnd } = outputs[names[0]!]!;
  const all = { kind, table: '', outputs, columns: [] };
  return { ...all, table: tablesOf(all).join(', '), ...(atEnd && { atEnd }) };
}

/** An object with a list of rows for each output. */
export function joinedOutput(declared: Readonly<Record<string, WrittenOutput>>): z.ZodObject {
  return z.strictObject(
    Object.fromEntries(Object.entries(declared).map(([name, { row }]) => [name, z.array(row)])),
  );
}

function checkKind(name: string, sink: WrittenOutput['sink'], kind: string, connectors: Connectors): void {
  if (sink.kind !== kind)
    fail(
      name,
      'kind',
      `is ${sink.kind}, and another output is ${kind}. One transaction stores all, so use one kind`,
    );
  const { writer } = connectors.sink(kind);
  if (!writer?.writeApart)
    fail(name, 'kind', `cannot be ${kind}: several outputs are stored in one transaction of the database`);
  if ('lanes' in sink)
    fail(name, 'lanes', 'has no use with several outputs, which one transaction stores. Leave it out');
  if ('shards' in sink)
    fail(name, 'shards', 'cannot be used with several outputs, which one transaction of one database stores');
}

function fail(name: string, option: string, message: string): never {
  throw new DefinitionError(`outputs.${name}`, [{ path: `sink.${option}`, message }]);
}
