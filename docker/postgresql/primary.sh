#!/usr/bin/env bash
# Run once by PostgreSQL's image when the primary's data folder is made: a role for the replica, and its way in.
# From the next start on nothing is acknowledged before the replica has it on disk as well. Said last, and here rather
# than on the command line: while the folder is made there is no replica that could answer.
set -euo pipefail
password=$(cat "$REPLICATION_PASSWORD_FILE")
psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 --set password="$password" <<'SQL'
CREATE ROLE replica WITH REPLICATION LOGIN PASSWORD :'password';
SELECT pg_create_physical_replication_slot('replica', true);
ALTER SYSTEM SET synchronous_commit = 'on';
ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (replica)';
SQL
echo 'host replication replica samenet scram-sha-256' >>"$PGDATA/pg_hba.conf"
