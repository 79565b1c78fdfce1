import type pg from 'pg';
import { imbalance } from '../../domain/runs/run.ts';
import { sql } from '../../domain/sql.ts';
import type { DevStack } from '../../test/support/devStack.ts';
import { connectPatiently } from './connectPatiently.ts';

/** A run that rejected so many records, numbered from 0, into a table named like its pipeline. */
interface Origin {
  id: string;
  pipeline: string;
  letters: number;
}

/**
 * Whether each record that was rejected is in the table once, each letter resolved, each sum right, and the chain of each letter in the
 * audit: rejected, edited, sent, approved, settled and stored, in this order. `path`: only letters of that field were sent.
 */
export async function judgeLetters(
  stack: DevStack,
  origins: readonly Origin[],
  path?: string,
): Promise<string[]> {
  const client = await connectPatiently(stack);
  try {
    const violations: string[] = [];
    for (const origin of origins) {
      const sent = path === undefined ? origin.letters : Math.ceil(origin.letters / 10);
      const same = (what: string, actual: unknown, wanted: unknown) => {
        if (actual !== wanted) violations.push(`${origin.pipeline}: ${what}: ${actual}, not ${wanted}`);
      };
      const [rows] = await ask(
        client,
        `SELECT count(*)::integer AS rows, count(DISTINCT n)::integer AS records FROM ${client.escapeIdentifier(origin.pipeline)}`,
        {},
      );
      same('rows', rows.rows, sent);
      same('records that are stored', rows.records, sent);
      const [states] = await ask(
        client,
        `SELECT count(*)::integer AS letters, count(*) FILTER (WHERE state = 'resolved')::integer AS resolved,
                (SELECT coalesce(sum(letters), 0)::integer FROM waybill.dead_letter_group
                 WHERE run_id = :id AND state = 'resolved') AS counted
         FROM waybill.dead_letter WHERE run_id = :id`,
        { id: origin.id },
      );
      same('letters', states.letters, origin.letters);
      same('resolved letters', states.resolved, sent);
      same('resolved letters, as counted', states.counted, sent);
      const runs = await ask(
        client,
        `SELECT id, state, counts FROM waybill.run WHERE pipeline = :pipeline AND state = 'completed'`,
        { pipeline: origin.pipeline },
      );
      for (const { id, counts } of runs) same(`counts of ${id}`, imbalance(counts), undefined);
      same(
        'rows, as the runs count them',
        runs.reduce((sum, { counts }) => sum + counts.stored, 0),
        rows.rows,
      );
      const [chains] = await ask(client, chained(client.escapeIdentifier(origin.pipeline)), {
        id: origin.id,
      });
      same('letters with a whole chain', chains.whole, sent);
    }
    return violations;
  } finally {
    await client.end();
  }
}

/** Counts letters of which the log tells it all, of a run `:id`; a row names the run that stored it. */
const chained = (table: string) => `
  WITH told AS MATERIALIZED (
    SELECT letter, e.id, e.action, e.run_id, e.detail ->> 'state' AS state
    FROM waybill.audit_event e, jsonb_array_elements_text(e.detail -> 'letters') letter
    WHERE e.action LIKE 'dead-letter.%' AND jsonb_typeof(e.detail -> 'letters') = 'array'
  ), chain AS (
    SELECT letter, min(id) FILTER (WHERE action = 'dead-letter.recorded') AS recorded,
           min(id) FILTER (WHERE action = 'dead-letter.repaired') AS repaired,
           max(id) FILTER (WHERE action = 'dead-letter.redriven') AS redriven,
           max(id) FILTER (WHERE action = 'dead-letter.settled') AS settled,
           count(*) FILTER (WHERE action = 'dead-letter.recorded') AS times_recorded,
           count(*) FILTER (WHERE action = 'dead-letter.settled' AND state = 'resolved') AS times_resolved,
           (array_agg(run_id ORDER BY id DESC) FILTER (WHERE action = 'dead-letter.redriven'))[1] AS redrive,
           (array_agg(run_id ORDER BY id DESC) FILTER (WHERE action = 'dead-letter.settled'))[1] AS settler
    FROM told GROUP BY letter
  ), runs AS MATERIALIZED (
    SELECT run_id, max(id) FILTER (WHERE action IN ('approval.approved', 'approval.ended')) AS approved,
           max(id) FILTER (WHERE action IN ('run.published', 'batch.stored')) AS stored
    FROM waybill.audit_event WHERE run_id IN (SELECT DISTINCT redrive FROM chain) GROUP BY run_id
  )
  SELECT count(*)::integer AS whole FROM chain c JOIN runs r ON r.run_id = c.redrive
  JOIN waybill.dead_letter d ON d.id = c.letter AND d.run_id = :id AND d.state = 'resolved' AND d.redrive_run = c.redrive
  JOIN ${table} t ON t.n = d.position AND t._run = c.redrive
  WHERE c.times_recorded = 1 AND c.times_resolved = 1 AND c.settler = c.redrive
    AND c.recorded < c.repaired AND c.repaired < c.redriven AND c.redriven < r.approved AND r.approved < c.settled
    AND r.stored IS NOT NULL`;

// biome-ignore lint/suspicious/noExplicitAny: each query has rows of its own.
async function ask(client: pg.Client, text: string, params: Record<string, unknown>): Promise<any[]> {
  return (await client.query(sql(text, params))).rows;
}
