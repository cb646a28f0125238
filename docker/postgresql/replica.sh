#!/usr/bin/env bash
# The replica's command: a first copy of the primary if there is none yet, then PostgreSQL following it.
# To fail over, once the old primary is known to be dead: promote this server, and let it wait for no replica until it has
# one of its own (docs/operations.md, "Failing over").
set -euo pipefail
PGPASSFILE=$(mktemp)
export PGPASSFILE
printf '*:*:*:replica:%s\n' "$(cat "$REPLICATION_PASSWORD_FILE")" >"$PGPASSFILE"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    until pg_basebackup --host "$PRIMARY_HOST" --port "${PRIMARY_PORT:-5432}" --username replica --pgdata "$PGDATA" \
            --slot replica --write-recovery-conf --checkpoint fast --no-password; do
        echo "the primary does not answer yet" >&2
        rm -rf "${PGDATA:?}"/*
        sleep 2
    done
    chmod 0700 "$PGDATA"
fi
exec postgres -c primary_conninfo="host=$PRIMARY_HOST port=${PRIMARY_PORT:-5432} user=replica passfile=$PGPASSFILE application_name=replica" "$@"
