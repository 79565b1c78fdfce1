import { canonicalJson } from '../canonicalJson.ts';
import type { Column } from '../pipelines/manifest.ts';
import type { Contract, JsonSchema } from './contract.ts';
import { covers, isRequired, meaning, propertiesOf, withoutNull } from './covers.ts';

/** One way in which a pipeline differs from a contract. */
export interface ContractChange {
  side: 'input' | 'output';
  kind: 'add' | 'remove' | 'rename' | 'widen' | 'narrow' | 'nullable' | 'key' | 'unit';
  /** The field or column. */
  name: string;
  /** Breaking for senders (input) or readers of the rows (output). */
  breaking: boolean;
  /** What it is and, where it is breaking, what to do. */
  message: string;
}

export interface ContractDifference {
  changes: ContractChange[];
  /** The changes are breaking and the version is not higher, or the version is lower. */
  refused: boolean;
}

/** What changed since a contract was recorded: a wider input and a new nullable column are compatible, all else is breaking. */
export function contractDifference(recorded: Contract, now: Contract): ContractDifference {
  const changes = [...inputChanges(recorded, now), ...changesOfOutputs(recorded, now)];
  const isBreaking = changes.some(({ breaking }) => breaking);
  const refused = now.version < recorded.version || (isBreaking && now.version === recorded.version);
  return { changes, refused };
}

function inputChanges(recorded: Contract, now: Contract): ContractChange[] {
  const [before, after] = [recorded.input, now.input];
  const [old, new_] = [propertiesOf(before), propertiesOf(after)];
  const renames = renamesIn(old, new_, now.sink.renamed ?? {});
  const changes: ContractChange[] = renames.map(([from, to]) =>
    input('rename', from, true, `is called ${to} now; accept both names for a while, or ${nextVersion}`),
  );
  const renamed = new Set(renames.flat());
  for (const name of Object.keys(new_))
    if (!old[name] && !renamed.has(name)) changes.push(addedField(name, isRequired(after, name)));
  for (const name of Object.keys(old))
    if (!new_[name] && !renamed.has(name)) changes.push(removedField(name, now));
  for (const [name, schema] of Object.entries(new_))
    if (old[name]) changes.push(...fieldChanges(name, recorded, now, schema));
  changes.push(...unknownFieldsChange(recorded, now));
  if (canonicalJson(recorded.cursor ?? null) !== canonicalJson(now.cursor ?? null))
    changes.push(
      input(
        'key',
        'cursor',
        true,
        `is another one; ${nextVersion}, so that the source is read from its start`,
      ),
    );
  return changes;
}

const nextVersion = 'raise version';

function input(
  kind: ContractChange['kind'],
  name: string,
  breaking: boolean,
  message: string,
): ContractChange {
  return { side: 'input', kind, name, breaking, message };
}

function addedField(name: string, required: boolean): ContractChange {
  if (!required) return input('add', name, false, 'is new, and senders may leave it out');
  return input(
    'add',
    name,
    true,
    `is new and required, and senders do not send it; make it optional, give it a default, or ${nextVersion}`,
  );
}

/** Between kept and dropped only the rows differ, which have the column `_extra` or not. */
function unknownFieldsChange(recorded: Contract, now: Contract): ContractChange[] {
  const [was, is] = [recorded, now].map(({ unknownFields }) => unknownFields !== undefined);
  if (was === is) return [];
  return [
    is
      ? input(
          'widen',
          'unknownFields',
          false,
          `are accepted, and ${now.unknownFields === 'keep' ? 'kept' : 'dropped'}`,
        )
      : input(
          'narrow',
          'unknownFields',
          true,
          `reject their record; keep or drop them as before, or have the senders leave them out and ${nextVersion}`,
        ),
  ];
}

function removedField(name: string, { input: after, unknownFields }: Contract): ContractChange {
  if (after.additionalProperties !== false || unknownFields !== undefined)
    return input('remove', name, false, 'is gone, and senders may still send it');
  return input(
    'remove',
    name,
    true,
    `is gone, and a record that has it is rejected; keep it as an optional field, or ${nextVersion}`,
  );
}

function fieldChanges(name: string, recorded: Contract, now: Contract, schema: JsonSchema): ContractChange[] {
  const old = propertiesOf(recorded.input)[name]!;
  const changes: ContractChange[] = [];
  const [was, is] = [withoutNull(old), withoutNull(schema)];
  const [wasRequired, isNowRequired] = [isRequired(recorded.input, name), isRequired(now.input, name)];
  const stricter = (was.nullable && !is.nullable) || (!wasRequired && isNowRequired);
  const looser = (!was.nullable && is.nullable) || (wasRequired && !isNowRequired);
  if (stricter)
    changes.push(
      input('nullable', name, true, `can be missing or null no more; give it a default, or ${nextVersion}`),
    );
  else if (looser) changes.push(input('nullable', name, false, 'may be missing or null'));
  const unit = unitChange('input', name, old, schema);
  if (unit) changes.push(unit);
  if (canonicalJson(meaning(was.schema)) === canonicalJson(meaning(is.schema))) return changes;
  const wider = covers(accepted(is.schema, now), was.schema, {
    wide: accepted(now.input, now),
    narrow: recorded.input,
  });
  if (wider) {
    if (!covers(was.schema, is.schema, { wide: recorded.input, narrow: now.input }))
      changes.push(input('widen', name, false, 'accepts more than before'));
    return changes;
  }
  const message = `rejects values that it accepted; accept the old values too, or have the senders change and ${nextVersion}`;
  changes.push(input('narrow', name, true, message));
  return changes;
}

/** Where unknown fields are kept or dropped, a strict object rejects none. */
function accepted(schema: JsonSchema, { unknownFields }: Contract): JsonSchema {
  return unknownFields ? (opened(schema) as JsonSchema) : schema;
}

function opened(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(opened);
  if (typeof part !== 'object' || part === null) return part;
  const entries = Object.entries(part).filter(
    ([name, value]) => name !== 'additionalProperties' || value !== false,
  );
  return Object.fromEntries(entries.map(([name, value]) => [name, opened(value)]));
}

/** `.meta({ unit: 'EUR' })` of a field. One that is named for the first time only documents it. */
function unitChange(
  side: ContractChange['side'],
  name: string,
  { unit: was }: JsonSchema,
  { unit: is }: JsonSchema,
): ContractChange | undefined {
  if (was === is) return undefined;
  const [before, after] = [was, is].map((unit) => (unit === undefined ? 'no unit' : String(unit)));
  return {
    side,
    kind: 'unit',
    name,
    breaking: was !== undefined,
    message:
      was === undefined
        ? `is in ${after}`
        : `is in ${after} and was in ${before}, so equal numbers mean something else; give the field a new name, or ${nextVersion} and run all data again`,
  };
}

/** Pairs of old and new names: declared, or a field that is gone beside the only new one with the same schema. */
function renamesIn(
  old: Readonly<Record<string, unknown>>,
  new_: Readonly<Record<string, unknown>>,
  declared: Readonly<Record<string, string>>,
): [string, string][] {
  const gone = Object.keys(old).filter((name) => !(name in new_));
  const added = Object.keys(new_).filter((name) => !(name in old));
  return gone.flatMap((from): [string, string][] => {
    const named = declared[from];
    if (named !== undefined) return added.includes(named) ? [[from, named]] : [];
    const text = canonicalJson(old[from]);
    const [only, ...more] = added.filter((name) => canonicalJson(new_[name]) === text);
    const rivals = gone.filter((name) => canonicalJson(old[name]) === text);
    return only !== undefined && more.length === 0 && rivals.length === 1 ? [[from, only]] : [];
  });
}

/** Of several outputs, those of each, with the name of the output before that of the column. */
function changesOfOutputs(recorded: Contract, now: Contract): ContractChange[] {
  const [before, after] = [recorded.outputs, now.outputs];
  if (!before || !after) return outputChanges(recorded, now);
  const removed = Object.keys(before).filter((name) => !after[name]);
  return [
    ...removed.map((name) =>
      output('remove', name, true, `is no output any more; keep it, or tell the readers and ${nextVersion}`),
    ),
    ...Object.entries(after).flatMap(([name, own]) => {
      if (!before[name]) return [output('add', name, false, 'is a new output')];
      const changes = outputChanges({ ...recorded, ...before[name] }, { ...now, ...own });
      return changes.map((change) => ({ ...change, name: `${name}.${change.name}` }));
    }),
  ];
}

function outputChanges(recorded: Contract, now: Contract): ContractChange[] {
  const { renamed: declared = {} } = now.sink;
  const [old, new_] = [byName(recorded.columns), byName(now.columns)];
  const changes: ContractChange[] = [];
  const renames = renamesIn(old, new_, declared);
  for (const [from, to] of renames)
    changes.push(
      output(
        'rename',
        from,
        true,
        from in declared
          ? `is called ${to} now, and apply renames the column; ${nextVersion}, and tell the readers`
          : `seems to be called ${to} now; declare renamed: { ${from}: '${to}' } in the sink and ${nextVersion}, or keep the old name`,
      ),
    );
  const renamedNow = new Set(renames.flat());
  for (const column of now.columns)
    if (!old[column.name] && !renamedNow.has(column.name)) changes.push(addedColumn(column));
  for (const name of Object.keys(old))
    if (!new_[name] && !renamedNow.has(name))
      changes.push(
        output(
          'remove',
          name,
          true,
          `is gone: the column stays and is NULL in new rows; keep it, or tell the readers and ${nextVersion}`,
        ),
      );
  for (const column of now.columns) {
    const from = renames.find(([, to]) => to === column.name)?.[0] ?? column.name;
    if (old[from]) changes.push(...columnChanges(recorded, now, { ...old[from], name: from }, column));
  }
  const { renamed: _, ...sinkNow } = now.sink;
  const { renamed: __, ...sinkThen } = recorded.sink;
  if (canonicalJson(withNames(sinkThen, renames)) !== canonicalJson(sinkNow))
    changes.push(
      output(
        'key',
        keyText(now),
        true,
        `is where rows are now, and was ${keyText(recorded)}; ${nextVersion}, name a new table, and run all data again`,
      ),
    );
  return changes;
}

function byName(columns: readonly Column[]): Readonly<Record<string, Column>> {
  // Two columns of one type are told apart by what else they are, and not by their names.
  return Object.fromEntries(columns.map((column) => [column.name, { ...column, name: '' }])) as Record<
    string,
    Column
  >;
}

function withNames(
  sink: Omit<Contract['sink'], 'renamed'>,
  renames: readonly [string, string][],
): Omit<Contract['sink'], 'renamed'> {
  const names = new Map(renames);
  const { key } = sink;
  return { ...sink, key: Array.isArray(key) ? key.map((name) => names.get(name) ?? name) : key };
}

function keyText({ sink: { table, key } }: Contract): string {
  return `${table} (${Array.isArray(key) ? key.join(', ') : String(key ?? 'no key')})`;
}

function output(
  kind: ContractChange['kind'],
  name: string,
  breaking: boolean,
  message: string,
): ContractChange {
  return { side: 'output', kind, name, breaking, message };
}

function addedColumn({ name, nullable }: Column): ContractChange {
  if (nullable) return output('add', name, false, 'is a new column, NULL in the rows that are there');
  return output(
    'add',
    name,
    true,
    `is a new required column, and the rows that are there have no value; make it nullable, or ${nextVersion} and give it a value by defaults: { ${name}: … } of the sink or by a run of all data`,
  );
}

const widerColumns: Readonly<Partial<Record<string, readonly string[]>>> = {
  integer: ['bigint', 'numeric'],
  bigint: ['numeric'],
  'double precision': ['numeric'],
};

function columnChanges(recorded: Contract, now: Contract, was: Column, column: Column): ContractChange[] {
  const { name, type, nullable } = column;
  const changes: ContractChange[] = [];
  if (was.nullable !== nullable)
    changes.push(
      output(
        'nullable',
        name,
        true,
        nullable
          ? `may be NULL now; give it a value always, or tell the readers and ${nextVersion}`
          : `is required now; ${nextVersion}, and plan says in how many rows it is NULL`,
      ),
    );
  const [old, schema] = [fieldOf(recorded.output, was.name), fieldOf(now.output, name)];
  const unit = old && schema && unitChange('output', name, old, schema);
  if (unit) changes.push(unit);
  if (was.type !== type) {
    const wider = widerColumns[was.type]?.includes(type);
    const declare = was.type === 'double precision' ? `declare widened: ['${name}'] in the sink, ` : '';
    changes.push(
      wider
        ? output(
            'widen',
            name,
            true,
            `is ${type} and was ${was.type}; ${declare}${nextVersion}, and apply widens the column`,
          )
        : output(
            'narrow',
            name,
            true,
            `is ${type} and was ${was.type}, which a table cannot become; name a new table, ${nextVersion} and run all data again`,
          ),
    );
  } else if (old && schema) changes.push(...rangeChanges(name, old, schema, recorded, now));
  return changes;
}

function fieldOf(schema: JsonSchema, name: string): JsonSchema | undefined {
  return propertiesOf(schema)[name];
}

/** Of a column that keeps its type: which values it may hold. */
function rangeChanges(
  name: string,
  old: JsonSchema,
  schema: JsonSchema,
  recorded: Contract,
  now: Contract,
): ContractChange[] {
  const [was, is] = [withoutNull(old).schema, withoutNull(schema).schema];
  if (canonicalJson(meaning(was)) === canonicalJson(meaning(is))) return [];
  const wider = covers(is, was, { wide: now.output, narrow: recorded.output });
  const narrower = covers(was, is, { wide: recorded.output, narrow: now.output });
  if (wider && narrower) return [];
  return [
    wider
      ? output('widen', name, true, `holds values that it did not; tell the readers and ${nextVersion}`)
      : output(
          'narrow',
          name,
          true,
          `holds other values than before, and rows that are there keep theirs; ${nextVersion} and run all data again`,
        ),
  ];
}
