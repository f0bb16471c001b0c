#!/bin/sh
# Starts a scratch PostgreSQL 15 on a socket of its own, prints its URL on one line, and stops and removes it when its
# standard input ends: so whoever started it need not clean up, not even after a crash.
# The cluster's collation is not C, so that text whose order was left to the database shows.
set -eu

bin=/usr/lib/postgresql/15/bin
if [ ! -x "$bin/postgres" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    # Without a cluster of its own: the package would otherwise start one that nobody asked for.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql-15 >&2 || true
fi
if [ ! -x "$bin/postgres" ]; then
    echo 'PostgreSQL 15 is missing: install the Debian package postgresql-15 (apt-get install postgresql-15)' >&2
    exit 69
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/hallmark-postgres.XXXXXX")
as=
user=$(id -un)
if [ "$(id -u)" = 0 ]; then
    # PostgreSQL refuses to run as root.
    as='setpriv --reuid=postgres --regid=postgres --init-groups'
    user=postgres
    chown postgres: "$folder"
fi

server=
stop() {
    if [ -n "$server" ]; then
        kill -INT "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

cd "$folder"
$as "$bin/initdb" -D "$folder/data" -U "$user" -A trust --no-sync --encoding=UTF8 --locale=C.UTF-8 \
    --locale-provider=icu --icu-locale=en-US >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; exit 70; }
$as "$bin/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=300 -c shared_buffers=64MB \
    </dev/null >"$folder/server.log" 2>&1 &
server=$!

tries=0
until "$bin/pg_isready" -q -h "$folder"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
        cat "$folder/server.log" >&2
        exit 71
    fi
    sleep 0.1
done
echo "postgres://$user@localhost/postgres?host=$folder"
cat >/dev/null
