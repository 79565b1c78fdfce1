import { execFileSync } from 'node:child_process';
import pg from 'pg';
import type { DevStack } from '../../test/support/devStack.ts';
import { connectPatiently } from './connectPatiently.ts';

/** Something that is away, until `end`. */
export interface Absence {
  /** What the tasks have brought about so far, as far as a test can see. */
  progress(): Promise<string>;
  /** What is not as it has to be while it is away. */
  stillAway(): Promise<string[]>;
  end(): Promise<void>;
}

type TakeAway = (stack: DevStack) => Promise<Absence>;

/** How to take away what; each is real, and no part of the stack is told. */
export const absences = { database, answers, policy } satisfies Record<string, TakeAway>;

/** PostgreSQL is killed, and the supervisor held, so that it does not come back: connections break, and new ones are refused. */
async function database(stack: DevStack): Promise<Absence> {
  const pid = stack.pid('postgres')!;
  stack.supervisor.kill('SIGSTOP');
  process.kill(pid, 'SIGKILL');
  return {
    progress: nobodyCanLook,
    stillAway: () => unreachable(stack),
    end: async () => void stack.supervisor.kill('SIGCONT'),
  };
}

/** PostgreSQL and all its backends are held: connections stay, new ones are made, and nothing is ever answered. */
async function answers(stack: DevStack): Promise<Absence> {
  const pid = stack.pid('postgres')!;
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' });
  // The server first, so that there are no more children than these.
  process.kill(pid, 'SIGSTOP');
  const held = [pid, ...children.split(/\s+/).filter(Boolean).map(Number)];
  const signal = (name: NodeJS.Signals) => {
    for (const one of held) {
      try {
        process.kill(one, name);
      } catch {
        // The client of this backend has just left.
      }
    }
  };
  signal('SIGSTOP');
  return {
    progress: nobodyCanLook,
    stillAway: () => unreachable(stack),
    end: async () => signal('SIGCONT'),
  };
}

/** Those who decide may not read the policy any more; what they know of it is too old after ten seconds. */
async function policy(stack: DevStack): Promise<Absence> {
  const client = await connectPatiently(stack);
  await client.query('REVOKE SELECT ON waybill.policy_set FROM waybill_api, waybill_worker');
  return {
    async progress() {
      const { rows } = await client.query(
        `SELECT (SELECT count(*) FROM waybill.stage) AS stages, (SELECT count(*) FROM waybill.ledger) AS stored`,
      );
      return `${rows[0].stages} stages, ${rows[0].stored} batches stored`;
    },
    async stillAway() {
      const response = await (await stack.as('alice'))('/v1/runs');
      const { code } = (await response.json()) as { code?: string };
      return code === 'PolicyUnavailable' ? [] : [`the API said ${response.status} ${code}`];
    },
    async end() {
      await client.query('GRANT SELECT ON waybill.policy_set TO waybill_api, waybill_worker');
      await client.end();
    },
  };
}

async function nobodyCanLook(): Promise<string> {
  return '';
}

async function unreachable(stack: DevStack): Promise<string[]> {
  const client = new pg.Client({
    connectionString: stack.info().databaseUrl,
    connectionTimeoutMillis: 1_000,
  });
  client.on('error', () => {});
  const answered = await client.connect().then(
    () => true,
    () => false,
  );
  if (answered) await client.end();
  return answered ? ['the database answered during its outage'] : [];
}
