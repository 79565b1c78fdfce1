#!/usr/bin/env bash
# Runs once in an empty database server: Waybill's database and its three roles, none of which is a superuser.
set -euo pipefail
. /run/secrets/waybill_passwords
psql -v ON_ERROR_STOP=1 -U postgres -v migrator="$MIGRATOR" -v api="$API" -v worker="$WORKER" <<'SQL'
CREATE ROLE waybill_migrator LOGIN PASSWORD :'migrator';
CREATE ROLE waybill_api LOGIN PASSWORD :'api';
CREATE ROLE waybill_worker LOGIN PASSWORD :'worker';
CREATE DATABASE waybill OWNER waybill_migrator;
\connect waybill
ALTER SCHEMA public OWNER TO waybill_migrator;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA waybill AUTHORIZATION waybill_migrator;
SQL
