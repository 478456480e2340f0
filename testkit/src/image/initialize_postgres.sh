#!/bin/sh
# Sets up the data folder of Postgres, unless that was done before. Everybody must give the password.
set -eu
if [ -s "$PGDATA/PG_VERSION" ]; then exit 0; fi
printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 \
  --locale=C --auth-local=trust --auth-host=scram-sha-256
echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
echo "create database \"$POSTGRES_DB\"" | postgres --single -D "$PGDATA" postgres
