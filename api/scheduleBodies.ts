import { z } from 'zod';
import { parseDuration } from '../domain/duration.ts';

const dayMs = 86_400_000;

export const lifetime = z
  .string()
  .refine((text) => {
    const ms = parseDuration(text);
    return ms !== undefined && ms <= 90 * dayMs;
  }, 'A duration such as 30d, of at most 90d.')
  .optional()
  .describe('How long the consent lasts; 90d at most, and by default.');

export function lifetimeOf(lifetime: string | undefined): { lifetimeS?: number } {
  return lifetime === undefined ? {} : { lifetimeS: Math.floor(parseDuration(lifetime)! / 1000) };
}

export const note = z
  .string()
  .regex(/^[^\p{Cc}\p{Cs}]{1,500}$/u, 'Up to 500 characters, without control characters.')
  .nullable();

export const shownRevision = z
  .int()
  .min(1)
  .describe(
    'Of the schedule as you were shown it. Rejected (`ScheduleChanged`) where it has another by now.',
  );
