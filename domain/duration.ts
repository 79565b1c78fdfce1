const unitsMs = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** Milliseconds of `'90m'`, `'7d'` and the like: a whole number and one of `s m h d w`. `undefined` for other text. */
export function parseDuration(text: string): number | undefined {
  const match = /^([1-9]\d{0,8})([smhdw])$/.exec(text);
  return match ? Number(match[1]) * unitsMs[match[2] as keyof typeof unitsMs] : undefined;
}

/** A rate, such as `50/s`, `600/m` or `100/h`. */
export const ratePattern = /^[1-9]\d{0,5}\/[smh]$/;

/** How many in a second; the text matches `ratePattern`. */
export function perSecondOf(rate: string): number {
  const [count, unit] = rate.split('/') as [string, 's' | 'm' | 'h'];
  return (Number(count) * 1_000) / unitsMs[unit];
}
