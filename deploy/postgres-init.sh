#!/usr/bin/env bash
# Runs once in an empty database server: Waybill's database and its four roles, none of which is a superuser.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -U postgres <<'SQL'
\set migrator `cat /run/secrets/migrator_password`
\set api `cat /run/secrets/api_password`
\set worker `cat /run/secrets/worker_password`
\set relay `cat /run/secrets/relay_password`
CREATE ROLE waybill_migrator LOGIN PASSWORD :'migrator';
CREATE ROLE waybill_api LOGIN PASSWORD :'api';
CREATE ROLE waybill_worker LOGIN PASSWORD :'worker';
CREATE ROLE waybill_relay LOGIN PASSWORD :'relay';
CREATE DATABASE waybill OWNER waybill_migrator;
REVOKE ALL ON DATABASE waybill FROM PUBLIC;
GRANT CONNECT ON DATABASE waybill TO waybill_api, waybill_worker, waybill_relay;
-- Rows of a run that waits for approval are compared with the table in a temporary one.
GRANT TEMPORARY ON DATABASE waybill TO waybill_worker;
\connect waybill
ALTER SCHEMA public OWNER TO waybill_migrator;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA waybill AUTHORIZATION waybill_migrator;
-- Waybill has no large objects, which belong to no table and so escape row-level security.
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure) FROM pg_proc
  WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^(lo_|loread|lowrite)' \gexec
SQL
