import pg from 'pg';
import { sql } from '../../domain/sql.ts';

/** What is there of the victim’s run and of whatever the attacks have begun. */
export interface AttackedRows {
  /** From now on, traces of this run count too. */
  watch(runId: string): void;
  /** What was tried is on record, in the audit and among the executions; else equal texts mean that no row of a run, a batch, a stage, the ledger, a dead letter or a sink has come, gone or changed. */
  read(): Promise<string>;
  /** Whether the audit has a refusal of a task of that run with that code. */
  isAudited(runId: string, code: string): Promise<boolean>;
  close(): Promise<void>;
}

export function openLedger(databaseUrl: string, victimId: string): AttackedRows {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  const watched = [victimId];

  /** Tables of Waybill that belong to a run, and of sinks, which name the run of each row. */
  async function tables(): Promise<{ name: string; key: string }[]> {
    const { rows } = await pool.query(
      `SELECT format('%I.%I', table_schema, table_name) AS name, column_name AS key FROM information_schema.columns
       WHERE (table_schema = 'waybill' AND column_name = 'run_id' AND table_name NOT IN ('audit_event', 'execution'))
          OR (table_schema = 'waybill' AND table_name = 'run' AND column_name = 'id')
          OR (table_schema = 'public' AND column_name = '_run') ORDER BY 1`,
    );
    return rows;
  }

  return {
    watch: (runId) => void watched.push(runId),
    async read() {
      const prints = [];
      for (const { name, key } of await tables()) {
        const { rows } = await pool.query(
          sql(
            `SELECT count(*) || ' ' || md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) AS print
           FROM ${name} t WHERE ${key} = ANY (:watched)`,
            { watched },
          ),
        );
        prints.push(`${name} ${rows[0].print}`);
      }
      return prints.join('\n');
    },
    async isAudited(runId, code) {
      const { rows } = await pool.query(
        sql(
          `SELECT FROM waybill.audit_event WHERE run_id = :runId AND outcome = 'denied' AND detail->>'code' = :code`,
          { runId, code },
        ),
      );
      return rows.length > 0;
    },
    close: () => pool.end(),
  };
}
