#!/usr/bin/env bash
# Starts a scratch S3 server on a loopback port with a bucket `images`, prints its endpoint on one line, and stops and
# removes it when its standard input ends: so whoever started it need not clean up, not even after a crash.
# Usage: versitygw.sh ACCESS-KEY SECRET-KEY [CERTIFICATE KEY]
set -euo pipefail

server="${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}/bin/versitygw"
if [[ ! -x "$server" ]]; then
  echo "versitygw is missing: run conformance/tools/versitygw, which installs it to $server" >&2
  exit 69
fi

folder="$(mktemp -d "${TMPDIR:-/tmp}/hallmark-s3.XXXXXX")"
pid=
stop() {
  if [[ -n "$pid" ]]; then
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' INT TERM HUP

mkdir -p "$folder/store/images"
scheme=http
tls=()
if [[ $# -ge 4 ]]; then
  scheme=https
  tls=(--cert "$3" --key "$4")
fi

# A port may be taken between the choice and the start: choose again.
for _ in {1..20}; do
  port=$((20000 + RANDOM % 12000))
  ROOT_ACCESS_KEY="$1" ROOT_SECRET_KEY="$2" "$server" --port "127.0.0.1:$port" --keep-alive --quiet "${tls[@]}" \
    posix "$folder/store" </dev/null >"$folder/log" 2>&1 &
  pid=$!
  for _ in {1..200}; do
    kill -0 "$pid" 2>/dev/null || break
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      kill -0 "$pid" 2>/dev/null || break
      echo "$scheme://127.0.0.1:$port"
      cat >/dev/null
      exit 0
    fi
    sleep 0.05
  done
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  pid=
done
cat "$folder/log" >&2
exit 71
