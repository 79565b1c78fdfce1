import { canonicalJson } from '../canonicalJson.ts';
import type { ScheduleTerms } from './schedule.ts';

/** A term that changed; `null`: there is none. */
export interface TermChange {
  /** JSON Pointer within the terms, such as `/cron` or `/parameters/region`. */
  path: string;
  before: unknown;
  now: unknown;
}

/** What changed from one version of the terms to the next, in the order of the paths. Lists count as one value. */
export function termsDifference(before: ScheduleTerms, now: ScheduleTerms): TermChange[] {
  return changesOf('', before, now).sort((a, b) => (a.path < b.path ? -1 : 1));
}

function changesOf(path: string, before: unknown, now: unknown): TermChange[] {
  if (isObject(before) && isObject(now)) {
    const names = new Set([...Object.keys(before), ...Object.keys(now)]);
    return [...names].flatMap((name) => changesOf(`${path}/${escaped(name)}`, before[name], now[name]));
  }
  if (canonicalJson(before) === canonicalJson(now)) return [];
  return [{ path, before: before ?? null, now: now ?? null }];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 6901. */
function escaped(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
