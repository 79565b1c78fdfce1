const grouped = new Intl.NumberFormat('en-US');

export function count(n: number): string {
  return grouped.format(n);
}

/** Decimal units: `1.2 MB`. */
export function bytes(n: number): string {
  const unit = ['B', 'kB', 'MB', 'GB', 'TB'][magnitude(n)]!;
  const value = n / 1000 ** magnitude(n);
  return `${unit === 'B' ? value : value.toFixed(value < 9.95 ? 1 : 0)} ${unit}`;
}

function magnitude(n: number): number {
  // What would be shown as 1000 is 1.0 of the next unit.
  for (let m = 0; m < 4; m++) if (n / 1000 ** m < (m === 0 ? 1000 : 999.5)) return m;
  return 4;
}

/** `0.8 s`, `12 s`, `1 min 05 s`, `2 h 03 min`, `7 days`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 172_800) return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole / 60) % 60)} min`;
  return `${Math.floor(whole / 86_400)} days`;
}

/** How long ago within a day, otherwise the local date and time. `now` in milliseconds since 1970. */
export function since(time: string, now: number): string {
  const ms = now - Date.parse(time);
  if (ms < 1_500) return 'just now';
  if (ms < 60_000) return `${Math.round(ms / 1000)} s ago`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min ago`;
  if (ms < 86_400_000) return `${Math.floor(ms / 3_600_000)} h ago`;
  return localTime(time).slice(0, -3);
}

/** `2026-02-03 14:05:06` where the reader is. */
export function localTime(time: string): string {
  const d = new Date(time);
  const date = [d.getFullYear(), two(d.getMonth() + 1), two(d.getDate())].join('-');
  return `${date} ${[d.getHours(), d.getMinutes(), d.getSeconds()].map(two).join(':')}`;
}

function two(n: number): string {
  return String(n).padStart(2, '0');
}
