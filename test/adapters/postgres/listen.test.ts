import { after, before, describe, it } from 'node:test';
import { listen } from '../../../adapters/postgres/listen.ts';
import { startPostgresForTest, type TestPostgres } from '../../support/stack.ts';

describe('listening', () => {
  let postgres: TestPostgres;
  before(async () => {
    postgres = await startPostgresForTest();
  });
  after(() => postgres?.stop());

  it('can be closed at any moment, also while it connects', { timeout: 20_000 }, async () => {
    for (let turns = 0; turns < 40; turns++) {
      const listening = listen(postgres.workerUrl, 'waybill_run', () => {});
      // The event loop goes round a few times, and so each time another step of connecting is interrupted.
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      await listening.close();
    }
  });
});
