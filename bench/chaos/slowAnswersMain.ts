import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { sql } from '../../domain/sql.ts';
import { workerFromEnvironment } from '../../workers/main.ts';

/*
 * A worker that dawdles between the commit of a batch and telling Temporal of it, so that a kill at that moment is
 * certain to hit. With `unguarded` its ledger also always looks empty, and a batch is stored again where its answer was lost:
 * the control, which shows that the check would notice. With `unclaimed` it stores dead letters as if they were any records, so that
 * none of them leaves its state.
 */
const [databaseUrl, guard] = process.argv.slice(2);
const dawdleMs = 400;
const pool = new pg.Pool({ connectionString: databaseUrl!, max: 4 });

await workerFromEnvironment((deps) => ({
  ...deps,
  stages: {
    ...deps.stages,
    async findWork(run, execution, seq) {
      const { stored, ...work } = await deps.stages.findWork(run, execution, seq);
      return guard === 'unguarded' || !stored ? work : { ...work, stored };
    },
  },
  ledger: {
    ...deps.ledger,
    async storeBatch(load) {
      if (guard === 'unguarded') {
        const { runId, seq } = load;
        for (const table of ['ledger', 'ledger_slot'])
          await pool.query(
            sql(`DELETE FROM waybill.${table} WHERE run_id = :runId AND seq = :seq`, { runId, seq }),
          );
      }
      const counts = await deps.ledger.storeBatch(
        guard === 'unclaimed' ? { ...load, settlesLetters: false } : load,
      );
      await pause(dawdleMs);
      return counts;
    },
  },
}));
