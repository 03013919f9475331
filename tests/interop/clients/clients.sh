#!/bin/sh
# grpcurl, ghz and grpc-go against a running plinthd.
#
#   tests/interop/clients/clients.sh [path of plinthd]
#
# Needs Go 1.23 or newer with its module proxy, and protoc; go.mod and go.sum pin what is built. The programs are cached
# in $PLINTH_INTEROP_CACHE (default: ~/.cache/plinth-interop). The last line is "N passed, N failed, N skipped"; what
# cannot be had is skipped.
set -u

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
plinthd=${1:-$root/build/release/bin/plinthd}
cache=${PLINTH_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plinth-interop}
passed=0 failed=0 skipped=0 server_pid=
work=$(mktemp -d)
export GOTOOLCHAIN=local

finish() {
    [ -n "$server_pid" ] && kill "$server_pid" 2>/dev/null && wait "$server_pid"
    rm -rf "$work"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit $?
}

ok() { echo "ok    $1"; passed=$((passed + 1)); }
fail() { echo "FAIL  $1"; head -c 1000 "$work/log" | sed "s/^/  /"; failed=$((failed + 1)); }
skip() { echo "skip  $1"; skipped=$((skipped + 1)); }

build() { # package, program: into the cache, which the version pins name
    command -v go >/dev/null 2>&1 || return 1
    (cd "$module" && go build -o "$bin/$2" "$1") >"$work/build.log" 2>&1 && return 0
    tail -n 5 "$work/build.log" | sed "s/^/  /"
    return 1
}

expect() { # name, pattern, command...: the command succeeds and prints the pattern
    name=$1 pattern=$2
    shift 2
    if timeout 60 "$@" >"$work/log" 2>&1 && grep -q "$pattern" "$work/log"; then ok "$name"; else fail "$name"; fi
}

[ -x "$plinthd" ] || { echo "no server at $plinthd: build plinthd first" >&2; exit 2; }
bin=$cache/clients
module=$work/module
mkdir -p "$bin" "$module"
cp -r "$here/go.mod" "$here/go.sum" "$here/keyvalue" "$module/" # the stubs are made there, not in the tree

"$plinthd" --data-dir "$work/data" --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --ports-file "$work/ports" \
    >"$work/plinthd.log" 2>&1 &
server_pid=$!
for _ in $(seq 200); do
    [ -s "$work/ports" ] && break
    sleep 0.05
done
port=$(sed -n 's/.*"grpc": *\([0-9]*\).*/\1/p' "$work/ports" 2>/dev/null)
[ -n "$port" ] || { cp "$work/plinthd.log" "$work/log"; fail "plinthd does not start"; finish; }
address=127.0.0.1:$port

if build github.com/fullstorydev/grpcurl/cmd/grpcurl grpcurl; then
    call() { "$bin/grpcurl" -plaintext "$@"; }
    expect "grpcurl lists by reflection" plinth.v1.KeyValue "$bin/grpcurl" -plaintext "$address" list
    expect "grpcurl describes Set" WriteResponse "$bin/grpcurl" -plaintext "$address" describe plinth.v1.KeyValue.Set
    expect "grpcurl describes a message" 'bytes key = 1' "$bin/grpcurl" -plaintext "$address" describe plinth.v1.SetRequest
    expect "grpcurl Set" token "$bin/grpcurl" -plaintext -d '{"key":"Y2F0","value":"SyBBRTEgVA=="}' "$address" plinth.v1.KeyValue/Set
    expect "grpcurl Get" SyBBRTEgVA== "$bin/grpcurl" -plaintext -d '{"key":"Y2F0"}' "$address" plinth.v1.KeyValue/Get
    expect "grpcurl Scan" Y2F0 "$bin/grpcurl" -plaintext -d '{}' "$address" plinth.v1.KeyValue/Scan
    expect "grpcurl Status" '"ready": true' "$bin/grpcurl" -plaintext "$address" plinth.v1.Admin/Status
    expect "grpcurl health" SERVING "$bin/grpcurl" -plaintext "$address" grpc.health.v1.Health/Check
    if call -d '{"key":"bm9uZQ=="}' "$address" plinth.v1.KeyValue/Get >"$work/log" 2>&1; then
        fail "grpcurl Get of a missing key succeeds"
    elif grep -q NotFound "$work/log"; then
        ok "grpcurl Get of a missing key"
    else
        fail "grpcurl Get of a missing key"
    fi
else
    skip "grpcurl: it cannot be built here"
fi

if build github.com/bojand/ghz/cmd/ghz ghz; then
    # Function only: ghz shares the machine with the server and is no measure of it.
    for call in 'Set {"key":"{{randomString 8}}","value":"dmFsdWU="}' 'Get {"key":"Y2F0"}'; do
        method=${call%% *}
        if timeout 60 "$bin/ghz" --insecure --call "plinth.v1.KeyValue/$method" -d "${call#* }" -n 5000 -c 32 \
            --connections 4 -O json "$address" >"$work/log" 2>&1 &&
            python3 - "$work/log" <<'CHECK'; then ok "ghz $method, 5,000 calls"; else fail "ghz $method"; fi
import json, sys
report = json.load(open(sys.argv[1]))
sys.exit(report["statusCodeDistribution"] != {"OK": 5000})
CHECK
    done
else
    skip "ghz: it cannot be built here"
fi

packages=
for file in types key_value predicate admin; do packages="${packages:+$packages,}Mplinth/v1/$file.proto=plinth/tests/interop/clients/plinthv1"; done
if build google.golang.org/protobuf/cmd/protoc-gen-go protoc-gen-go &&
    build google.golang.org/grpc/cmd/protoc-gen-go-grpc protoc-gen-go-grpc &&
    PATH=$bin:$PATH protoc -I "$root/api" --go_out="$module" --go_opt="module=plinth/tests/interop/clients,$packages" \
        --go-grpc_out="$module" --go-grpc_opt="module=plinth/tests/interop/clients,$packages" \
        plinth/v1/types.proto plinth/v1/key_value.proto plinth/v1/predicate.proto plinth/v1/admin.proto 2>"$work/log" &&
    build ./keyvalue keyvalue; then
    timeout 120 "$bin/keyvalue" "$address" >"$work/log" 2>&1
    cat "$work/log"
    passed=$((passed + $(grep -c '^ok ' "$work/log")))
    failures=$(grep -c '^FAIL ' "$work/log")
    [ "$failures" -gt 0 ] || grep -q '^ok ' "$work/log" || failures=1
    failed=$((failed + failures))
else
    skip "grpc-go client: it cannot be built here"
    cat "$work/log" 2>/dev/null
fi
finish
