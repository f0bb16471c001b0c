# What every script of this folder begins with: where tools go, and how a Go module becomes one. Sourced, never run.
# A tool is installed when bin/<name> stands beside a stamp <name>.version with the pinned version; then nothing is done.

set -euo pipefail

TOOLS="${HALLMARK_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/hallmark/tools}"
mkdir -p "$TOOLS/bin"

say() { printf '%s\n' "$*" >&2; }

# installed NAME VERSION: whether this very version stands there.
installed() {
  [[ -x "$TOOLS/bin/$1" && -f "$TOOLS/$1.version" && "$(<"$TOOLS/$1.version")" == "$2" ]]
}

# need PROGRAM HOW: ends with the exact thing to install when a program is missing.
need() {
  command -v "$1" >/dev/null || { say "$1 is missing: $2"; exit 1; }
}

# need_go: Go, of a version that builds all the pinned modules.
need_go() {
  local version
  need go 'install Go 1.26 or newer'
  version="$(go env GOVERSION)"
  [[ "$(printf '%s\n' go1.26 "$version" | sort -V | head -n 1)" == go1.26 ]] ||
    { say "go is $version, and 1.26 is needed: install Go 1.26 or newer"; exit 1; }
}

# fetch MODULE VERSION [SUM]: downloads a module and prints its read-only folder. Go's checksum database vouches for the
# bytes; for a version that the database does not know, SUM is the pinned h1: checksum and is compared here.
fetch() {
  local module="$1" version="$2" sum="${3:-}" answer
  if [[ -n "$sum" ]]; then
    fetch_required "$module" "$version" "$sum"
    return
  fi
  if ! answer="$(cd "$TOOLS" && GOFLAGS=-mod=mod GO111MODULE=on go mod download -json "$module@$version" 2>&1)"; then
    say "$module@$version cannot be had from the Go module proxy:"
    say "$answer"
    return 1
  fi
  field Dir "$answer"
}

# fetch_required MODULE VERSION SUM: the same through a module that requires it, which asks a proxy for the go.mod and
# the bytes only; `go mod download` also asks when the version was made, and not every proxy that keeps the bytes knows.
fetch_required() {
  local module="$1" version="$2" sum="$3" asking folder
  asking="$(mktemp -d "$TOOLS/.fetch-XXXXXX")"
  printf 'module asking\n\ngo 1.21\n\nrequire %s %s\n' "$module" "$version" >"$asking/go.mod"
  if ! folder="$(cd "$asking" && GOWORK=off GOFLAGS=-mod=mod GONOSUMDB="$module" go list -f '{{.Dir}}' "$module" 2>"$asking/said")"; then
    say "$module@$version cannot be had from the Go module proxy:"
    say "$(<"$asking/said")"
    rm -rf "$asking"
    return 1
  fi
  if ! grep -qxF "$module $version $sum" "$asking/go.sum"; then
    say "$(grep -F "$module $version h1:" "$asking/go.sum") is what came, and $sum is pinned: not used"
    rm -rf "$asking"
    return 1
  fi
  rm -rf "$asking"
  printf '%s\n' "$folder"
}

# field NAME JSON: one string of the flat answer of `go mod download -json`.
field() {
  sed -n "s/^[[:space:]]*\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" <<<"$2" | head -n 1
}

# build NAME VERSION MODULE SUM PACKAGE [GO-ARGUMENTS…]: fetches a module, and builds a package of a writable copy into
# bin/NAME. A copy, because a module with `replace` lines cannot be installed, and because the cache is read-only.
build() {
  local name="$1" version="$2" module="$3" sum="$4" package="$5"
  shift 5
  if installed "$name" "$version"; then
    return 0
  fi
  need_go
  local folder copy
  folder="$(fetch "$module" "$version" "$sum")" || return 1
  copy="$(mktemp -d "$TOOLS/.build-XXXXXX")"
  cp -R "$folder/." "$copy"
  chmod -R u+w "$copy"
  say "building $name from $module@$version"
  local -a how=(build -trimpath)
  [[ "$package" == test ]] && { how=(test -c -trimpath); package=.; }
  if ! (cd "$copy" && GOWORK=off nice -n 19 go "${how[@]}" "$@" -o "$TOOLS/bin/$name.new" "$package"); then
    rm -rf "$copy"
    return 1
  fi
  rm -rf "$copy"
  mv "$TOOLS/bin/$name.new" "$TOOLS/bin/$name"
  printf '%s' "$version" >"$TOOLS/$name.version"
}
