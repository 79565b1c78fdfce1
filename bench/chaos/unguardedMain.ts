import pg from 'pg';
import { workerFromEnvironment } from '../../workers/main.ts';

// The control of the campaign `workers`: a worker whose ledger always looks empty, so that a batch whose answer was lost
// is stored again. It exists to show that the check notices.
const pool = new pg.Pool({ connectionString: process.argv[2], max: 4 });

await workerFromEnvironment((deps) => ({
  ...deps,
  progress: {
    ...deps.progress,
    async findWork(runId, seq) {
      const { stored: _, ...work } = await deps.progress.findWork(runId, seq);
      return work;
    },
  },
  sink: {
    async store(load) {
      await pool.query('DELETE FROM waybill.ledger WHERE run_id = $1 AND seq = $2', [load.runId, load.seq]);
      return deps.sink.store(load);
    },
  },
}));
