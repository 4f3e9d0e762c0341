#!/bin/sh
# Makes the roles and their logins in a new database. The image of Postgres executes it once.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -f /etc/connector/roles.sql
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
  -v owner="$(cat /run/secrets/owner_password)" -v login="$(cat /run/secrets/connector_password)" \
  -v metrics="$(cat /run/secrets/metrics_password)" <<'SQL'
ALTER ROLE connector_owner LOGIN PASSWORD :'owner';
CREATE ROLE connector LOGIN PASSWORD :'login' IN ROLE connector_pipeline;
CREATE ROLE connector_metrics LOGIN PASSWORD :'metrics' IN ROLE connector_monitor;
CREATE DATABASE dagster OWNER connector;
SQL
