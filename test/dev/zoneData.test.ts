import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { describeZoneData, ensureZoneData } from '../../dev/stack/zoneData.ts';

describe('zone data for the embedded Temporal', () => {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-zones-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const said: string[] = [];
  const ensure = (cache: string, system: string) =>
    ensureZoneData({
      cache: join(folder, cache),
      system: join(folder, system),
      signal: new AbortController().signal,
      say: (line) => said.push(line),
    });
  const withSystem = (name: string, files: Record<string, string>) => {
    mkdirSync(join(folder, name));
    for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, name, file), text);
    return name;
  };
  const older = withSystem('older', { 'tzdata.zi': '# version 2001a\n', 'US-Pacific': '', EST5EDT: '' });

  it('is made once', async () => {
    const made = await ensure('cache', older);
    assert.equal(made, join(folder, 'cache', `zones-${process.versions.tz}`));
    const { ino, mtimeMs } = statSync(made);
    assert.equal(await ensure('cache', older), made);
    assert.deepEqual([statSync(made).ino, statSync(made).mtimeMs], [ino, mtimeMs]);
    assert.deepEqual(readdirSync(join(folder, 'cache')), [`zones-${process.versions.tz}`]);
  });

  it('is made once by starts at the same time', async () => {
    const [first, second] = await Promise.all([ensure('shared', older), ensure('shared', older)]);
    assert.equal(first, second);
    assert.deepEqual(readdirSync(join(folder, 'shared')), [`zones-${process.versions.tz}`]);
    assert.deepEqual(said, []);
  });

  for (const zone of [
    'Africa/Casablanca',
    'America/Vancouver',
    'America/Edmonton',
    'Europe/Vienna',
    'Asia/Kolkata',
    'Australia/Lord_Howe',
    // Two changes within a week, and within three weeks without another in that year.
    'Asia/Gaza',
    'America/Argentina/San_Juan',
    'Africa/Cairo',
    // A name that only the system lists.
    'EST5EDT',
    'UTC',
  ]) {
    it(`has the offsets of ${zone} from 1990 to 2060 as Intl has them`, async () => {
      const offsetAt = readTzif(readFileSync(join((await ensure('cache', older))!, zone)));
      const expectedAt = offsetsByIntl(zone);
      const moments: number[] = offsetAt.changes.flatMap((at) => [at - 1, at, at + 1]);
      for (let month = 0; month < 12 * 71; month++)
        for (const day of [1, 8, 15, 22]) moments.push(Date.UTC(1990, month, day, 12) / 1000);
      for (const at of moments.filter((at) => at >= Date.UTC(1990, 0, 1) / 1000))
        assert.equal(offsetAt(at), expectedAt(at), new Date(at * 1000).toISOString());
    });
  }

  it('is not made where the system has the version of Node', async () => {
    const text = { 'tzdata.zi': `# version ${process.versions.tz}\n` };
    assert.equal(await ensure('none', withSystem('same', text)), undefined);
    const bsd = withSystem('bsd', { '+VERSION': `${process.versions.tz}\n` });
    assert.equal(await ensure('none', bsd), undefined);
  });

  it('lets the stack start without it', async () => {
    writeFileSync(join(folder, 'file'), '');
    assert.equal(await ensure('file', older), undefined);
    assert.match(said.join('\n'), /zone data of the system/);
  });

  it('is told by doctor, with what differs', async () => {
    const node = process.versions.tz!;
    const differs = await describeZoneData(undefined, join(folder, older));
    assert.ok(
      differs.includes(node) && differs.includes('2001a') && differs.includes("copy of Node's"),
      differs,
    );
    assert.match(await describeZoneData(join(folder, older)), /\(ZONEINFO\): 2001a, which may differ/);
    assert.match(await describeZoneData(undefined, join(folder, 'missing')), /unknown version/);
    assert.match(differs, /In production/);
  });
});

/** The offset by TZif as RFC 9636 has it, from the 64-bit block; no rule for later times. */
function readTzif(file: Buffer): { (seconds: number): number; changes: number[] } {
  const counts = (at: number) => [20, 24, 28, 32, 36, 40].map((i) => file.readUInt32BE(at + i)) as number[];
  assert.equal(file.toString('latin1', 0, 5), 'TZif2');
  const [ut, std, leap, times, types, chars] = counts(0) as [number, number, number, number, number, number];
  const second = 44 + times * 5 + types * 6 + chars + leap * 8 + std + ut;
  assert.equal(file.toString('latin1', second, second + 5), 'TZif2');
  const [ut2, std2, leap2, n, m, c] = counts(second) as [number, number, number, number, number, number];
  assert.equal(file.length, second + 44 + n * 9 + m * 6 + c + leap2 * 12 + std2 + ut2 + 2);
  assert.equal(file.toString('latin1', file.length - 2), '\n\n');
  const start = second + 44;
  const changes = Array.from({ length: n }, (_, i) => Number(file.readBigInt64BE(start + i * 8)));
  const offsetAt = (seconds: number) => {
    const index = changes.findLastIndex((at) => at <= seconds);
    return file.readInt32BE(start + n * 9 + file[start + n * 8 + index]! * 6);
  };
  return Object.assign(offsetAt, { changes });
}

/** By the fields of the clock, which the maker of the files does not read. */
function offsetsByIntl(timeZone: string): (seconds: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    ...{ year: 'numeric', month: 'numeric', day: 'numeric' },
    ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' },
  });
  return (seconds) => {
    const of = Object.fromEntries(
      format.formatToParts(seconds * 1000).map(({ type, value }) => [type, +value]),
    );
    return Date.UTC(of.year!, of.month! - 1, of.day, of.hour, of.minute, of.second) / 1000 - seconds;
  };
}
