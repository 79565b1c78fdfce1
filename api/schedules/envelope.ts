import { parametersAt, type Schedule } from '../../domain/schedules/schedule.ts';
import type { Envelope } from '../trigger/envelope.ts';

/** What a run of the schedule for one time would be asked for by HTTP. */
export function envelopeOf({ terms }: Pick<Schedule, 'terms'>, at: string): Envelope {
  const { source, callback } = terms;
  return { parameters: parametersAt(terms, at), ...(source && { source }), ...(callback && { callback }) };
}
