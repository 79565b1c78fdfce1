import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** No schedule has a time after 2100 (`horizonMs`). */
const beginSeconds = Date.UTC(1990, 0, 1) / 1000;
const endSeconds = Date.UTC(2101, 0, 1) / 1000;
/** Two changes have been 12 days apart (Argentina, 2004), and will be a week apart (Gaza, 2040). */
const stepSeconds = 6 * 86_400;
const abbreviation = Buffer.from('LOC\0');
const current = [
  'America/Argentina/Buenos_Aires',
  'America/Argentina/Catamarca',
  'America/Argentina/Cordoba',
  'America/Argentina/Jujuy',
  'America/Argentina/Mendoza',
  'America/Atikokan',
  'America/Indiana/Indianapolis',
  'America/Kentucky/Louisville',
  'America/Nuuk',
  'Africa/Asmara',
  'Asia/Ho_Chi_Minh',
  'Asia/Kathmandu',
  'Asia/Kolkata',
  'Asia/Yangon',
  'Atlantic/Faroe',
  'Etc/GMT',
  'Etc/UTC',
  'Europe/Kyiv',
  'GMT',
  'Pacific/Chuuk',
  'Pacific/Kanton',
  'Pacific/Pohnpei',
  'UTC',
];

/** `zoneDataMain.ts FOLDER SYSTEM`: writes the zones that Node knows to `FOLDER`, as TZif files (RFC 9636). */
const [folder, system] = process.argv.slice(2) as [string, string];
const made = new Map<string, Buffer>();
for (const name of await namesOfZones(system)) {
  const zone = canonicalNameOf(name);
  if (zone === undefined) continue;
  const content = made.get(zone) ?? asTzif(offsetChangesOf(zone));
  made.set(zone, content);
  const file = join(folder, name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
}

/** From `fromSeconds` on the offset from UTC is `offsetSeconds`. */
interface OffsetChange {
  fromSeconds: number;
  offsetSeconds: number;
}

/**
 * `Intl` lists one name of each zone, not always the one that people use. The system knows the others; `current` are
 * those that replaced a name in the list, for systems without zones.
 */
async function namesOfZones(system: string): Promise<Set<string>> {
  const entries = await readdir(system, { recursive: true }).catch(() => []);
  return new Set([...Intl.supportedValuesOf('timeZone'), ...current, ...entries]);
}

/** `undefined` for what is no zone, such as a folder or a table. */
function canonicalNameOf(name: string): string | undefined {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

/** The first change is at the beginning of what is covered. */
function offsetChangesOf(timeZone: string): OffsetChange[] {
  // The hour is not read: without it the format has the date too, and takes twice as long.
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hour: 'numeric',
    hourCycle: 'h23',
    timeZoneName: 'longOffset',
  });
  const offsetAt = (seconds: number) => parseOffset(format.format(seconds * 1000));
  const changes = [{ fromSeconds: beginSeconds, offsetSeconds: offsetAt(beginSeconds) }];
  for (let from = beginSeconds; from < endSeconds; from += stepSeconds) {
    const before = changes.at(-1)!.offsetSeconds;
    if (offsetAt(from + stepSeconds) === before) continue;
    let [low, high] = [from, from + stepSeconds];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offsetAt(middle) === before) low = middle;
      else high = middle;
    }
    changes.push({ fromSeconds: high, offsetSeconds: offsetAt(high) });
  }
  return changes;
}

/** The seconds in `14 GMT+05:30`; `GMT` alone is 0. */
function parseOffset(text: string): number {
  const [, sign, hours, minutes, seconds = '0'] = /GMT([+-])(\d\d):(\d\d)(?::(\d\d))?$/.exec(text) ?? [];
  const size = sign ? Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds) : 0;
  return sign === '-' ? -size : size;
}

/**
 * Version 2: a block of 32-bit times for old readers, here an empty one, a block of 64-bit times, and a rule for later
 * times, here none. All offsets share one abbreviation and none is marked as daylight saving: schedules read neither.
 */
function asTzif(changes: readonly OffsetChange[]): Buffer {
  const offsets = [...new Set(changes.map(({ offsetSeconds }) => offsetSeconds))];
  const times = Buffer.alloc(changes.length * 8);
  for (const [i, { fromSeconds }] of changes.entries()) times.writeBigInt64BE(BigInt(fromSeconds), i * 8);
  const indexes = Buffer.from(changes.map(({ offsetSeconds }) => offsets.indexOf(offsetSeconds)));
  return Buffer.concat([
    headerOf(0, 1),
    offsetType(offsets[0]!),
    abbreviation,
    headerOf(changes.length, offsets.length),
    times,
    indexes,
    ...offsets.map(offsetType),
    abbreviation,
    Buffer.from('\n\n'),
  ]);
}

function headerOf(changes: number, types: number): Buffer {
  const header = Buffer.alloc(44);
  header.write('TZif2');
  header.writeUInt32BE(changes, 32);
  header.writeUInt32BE(types, 36);
  header.writeUInt32BE(abbreviation.length, 40);
  return header;
}

function offsetType(offsetSeconds: number): Buffer {
  const type = Buffer.alloc(6);
  type.writeInt32BE(offsetSeconds);
  return type;
}
