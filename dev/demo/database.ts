import pg from 'pg';
import type { DevJson } from '../../cli/embedded/devJson.ts';
import { type Params, sql } from '../../domain/sql.ts';

export interface RejectedOrder {
  line: number;
  code: string;
  path: string;
  message: string;
}

/** The records that a run rejected. */
export function readDeadLetters(stack: DevJson, runId: string): Promise<RejectedOrder[]> {
  return query(
    stack,
    'SELECT line::integer, code, path, message FROM waybill.dead_letter WHERE run_id = :runId ORDER BY position',
    { runId },
  );
}

export const speciesQuery =
  "SELECT species, count(*) FROM birdstrikes WHERE _tenant = 'acme' GROUP BY 1 ORDER BY 2 DESC LIMIT 3";

export function mostFrequentSpecies(stack: DevJson): Promise<{ species: string; count: string }[]> {
  return query(stack, speciesQuery);
}

async function query<Row extends object>(
  { databaseUrl }: DevJson,
  text: string,
  params?: Params,
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    return (await client.query<Row>(sql(text, params))).rows;
  } finally {
    await client.end();
  }
}
