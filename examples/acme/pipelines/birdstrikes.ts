import { csv, definePipeline, postgres, rowDigest, text, upload } from 'waybill';
import { z } from 'zod';

/** A cost in whole dollars; the file writes zero as `0`. */
const dollars = text.integer().pipe(z.int32().min(0));

/** One report, under the names that the file itself gives its columns. */
const Report = z.strictObject({
  'Airport Name': z.string().min(1),
  'Aircraft Make Model': z.string().min(1),
  'Effect Amount of damage': z.enum(['None', 'B', 'C', 'Minor', 'Medium', 'Substantial']),
  'Flight Date': z.iso.date(),
  'Aircraft Airline Operator': z.string().min(1),
  'Origin State': z.string().min(1),
  'Phase of flight': z.enum([
    'Approach',
    'Climb',
    'Descent',
    'Landing Roll',
    'Parked',
    'Take-off run',
    'Taxi',
  ]),
  'Wildlife Size': z.enum(['Small', 'Medium', 'Large']),
  'Wildlife Species': z.string().min(1),
  'Time of day': z.enum(['Dawn', 'Day', 'Dusk', 'Night']),
  'Cost Other': dollars,
  'Cost Repair': dollars,
  'Cost Total $': dollars,
  // Empty in 2,836 of the 10,000 rows: an unknown speed, which differs from speed 0.
  'Speed IAS in knots': text.integer().pipe(z.int32().min(0)).nullable(),
});

const Birdstrike = z.strictObject({
  airport: z.string(),
  aircraft: z.string(),
  damage: z.string(),
  flight_date: z.iso.date(),
  operator: z.string(),
  origin_state: z.string(),
  phase: z.string(),
  wildlife_size: z.string(),
  species: z.string(),
  time_of_day: z.string(),
  cost_other_usd: z.int32(),
  cost_repair_usd: z.int32(),
  cost_total_usd: z.int32(),
  speed_knots: z.int32().nullable(),
});

/** Reports of aircraft that met birds, 1990 to 2002. The file has no key, so the row as a whole is its own. */
export default definePipeline({
  id: 'birdstrikes',
  version: 1,
  labels: { classification: 'public' },
  source: upload(csv({ emptyAs: 'null' })),
  input: Report,
  output: Birdstrike,
  transform: (report) => ({
    airport: report['Airport Name'],
    aircraft: report['Aircraft Make Model'],
    damage: report['Effect Amount of damage'],
    flight_date: report['Flight Date'],
    operator: report['Aircraft Airline Operator'],
    origin_state: report['Origin State'],
    phase: report['Phase of flight'],
    wildlife_size: report['Wildlife Size'],
    species: report['Wildlife Species'],
    time_of_day: report['Time of day'],
    cost_other_usd: report['Cost Other'],
    cost_repair_usd: report['Cost Repair'],
    cost_total_usd: report['Cost Total $'],
    speed_knots: report['Speed IAS in knots'],
  }),
  sink: postgres({ table: 'birdstrikes', key: rowDigest() }),
  // A steward checks what every reader will see.
  approval: { before: 'publish', by: 'data-steward', within: '24h' },
});
