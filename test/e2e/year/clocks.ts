import type pg from 'pg';

const machine = Date;

/**
 * The clocks beside Temporal’s, which a test can put forward: that of this process (`Date`), and that of one database: its
 * `now()` and `clock_timestamp()` are found before PostgreSQL’s own. Both go on as the machine’s does; neither goes back. What is
 * measured rather than dated, by `performance.now()` and by timers, is not touched.
 */
export interface Clocks {
  nowMs(): number;
  /** No earlier than this. */
  putForward(toMs: number): Promise<void>;
  /** The clock of the process is the machine’s again. */
  restore(): void;
}

/** Before any other client connects, for where names are looked up is settled then. */
export async function takeClocks(database: pg.ClientBase): Promise<Clocks> {
  await database.query(inDatabase);
  const { rows } = await database.query(askingOtherwise);
  if (rows.length > 0) throw new Error(`asks PostgreSQL’s own clock: ${JSON.stringify(rows)}`);

  let aheadMs = 0;
  const nowMs = () => machine.now() + aheadMs;
  globalThis.Date = new Proxy(machine, {
    construct: (target, args, as) => Reflect.construct(target, args.length > 0 ? args : [nowMs()], as),
    apply: () => new machine(nowMs()).toString(),
    get: (target, name, receiver) => (name === 'now' ? nowMs : Reflect.get(target, name, receiver)),
  });

  return {
    nowMs,
    async putForward(toMs) {
      aheadMs = Math.max(aheadMs, toMs - machine.now());
      await database.query(`UPDATE simulated.clock SET ahead = $1 * interval '1 millisecond'`, [aheadMs]);
    },
    restore() {
      globalThis.Date = machine;
    },
  };
}

/** Tables are made where they were, since PostgreSQL’s own names come last, and after them nothing. */
const inDatabase = `
  CREATE SCHEMA simulated;
  CREATE TABLE simulated.clock (ahead interval NOT NULL);
  INSERT INTO simulated.clock VALUES ('0');
  CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + ahead FROM simulated.clock';
  CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM simulated.clock';
  GRANT USAGE ON SCHEMA simulated TO PUBLIC;
  GRANT SELECT ON simulated.clock TO PUBLIC;
  DO $$
    DECLARE one record;
    BEGIN
      FOR one IN
        SELECT attrelid::regclass AS relation, attname AS name, pg_get_expr(adbin, adrelid) AS expression
        FROM pg_attrdef JOIN pg_attribute ON (attrelid, attnum) = (adrelid, adnum)
        WHERE pg_get_expr(adbin, adrelid) ~ '\\m(now|clock_timestamp)\\('
      LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', one.relation, one.name,
          regexp_replace(one.expression, '\\m(now|clock_timestamp)\\(', 'simulated.\\1(', 'g'));
      END LOOP;
      FOR one IN
        SELECT pg_get_functiondef(oid) AS definition FROM pg_proc
        WHERE pronamespace = 'waybill'::regnamespace AND prokind = 'f' AND prosrc ~ '\\m(now|clock_timestamp)\\('
      LOOP
        EXECUTE regexp_replace(one.definition, '\\m(now|clock_timestamp)\\(', 'simulated.\\1(', 'g');
      END LOOP;
      EXECUTE format('ALTER DATABASE %I SET search_path = "$user", public, simulated, pg_catalog', current_database());
    END
  $$`;

/** What would still use PostgreSQL’s own clock: functions that fix their names, and keywords for the time. */
const askingOtherwise = `
  SELECT proname FROM pg_proc WHERE pronamespace = 'waybill'::regnamespace
    AND regexp_replace(prosrc, 'simulated\\.\\w+', '', 'g') ~* '\\m(now|clock_timestamp|current_timestamp|current_date|localtimestamp)\\M'`;
