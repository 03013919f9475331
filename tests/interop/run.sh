#!/bin/sh
# Proves the transport against foreign clients: gRPC's official interop client (Go), h2spec and grpcio (Python).
#
#   tests/interop/run.sh [path of plinth_interop_server]
#
# Needs Go 1.23 or newer and its module proxy; tools/go.mod and go.sum pin what is built. The programs are cached in
# $PLINTH_INTEROP_CACHE (default: ~/.cache/plinth-interop). The last line is "N passed, N failed, N skipped"; what
# cannot be had is skipped. grpcio is used when $PLINTH_PYTHON (default: python3) has it. h2spec cases that fail for a known reason stand in h2spec-known.txt with that reason.
set -u

here=$(cd "$(dirname "$0")" && pwd)
server=${1:-$here/../../build/tests/interop/plinth_interop_server}
python=${PLINTH_PYTHON:-python3}
cache=${PLINTH_INTEROP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/plinth-interop}
grpc_cases="empty_unary large_unary client_streaming server_streaming ping_pong empty_stream cancel_after_begin
cancel_after_first_response timeout_on_sleeping_server status_code_and_message special_status_message
unimplemented_method unimplemented_service custom_metadata"
passed=0 failed=0 skipped=0 server_pid=
work=$(mktemp -d)

finish() {
    [ -n "$server_pid" ] && kill "$server_pid" 2>/dev/null && wait "$server_pid"
    rm -rf "$work"
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit $?
}

build() { # package, program
    [ -x "$cache/$2" ] && [ "$cache/$2" -nt "$here/tools/go.sum" ] && return 0
    command -v go >/dev/null 2>&1 || return 1
    (cd "$here/tools" && go build -o "$cache/$2" "$1") >"$work/build.log" 2>&1 && touch "$cache/$2" && return 0
    tail -n 5 "$work/build.log" | sed "s/^/  /"
    return 1
}

start_server() {
    "$server" 127.0.0.1:0 >"$work/server.log" 2>"$work/server.err" &
    server_pid=$!
    for _ in $(seq 100); do
        port=$(sed -n 's/^listening on port //p' "$work/server.log")
        [ -n "$port" ] && return 0
        sleep 0.05
    done
    echo "FAIL  the server does not start: $(cat "$work/server.err")"
    failed=$((failed + 1))
    finish
}

run_grpc_case() {
    if timeout 30 "$cache/interop_client" --server_host=127.0.0.1 --server_port="$port" --use_tls=false \
        --test_case="$1" >"$work/case.log" 2>&1; then
        echo "ok    grpc $1"
        passed=$((passed + 1))
    else
        echo "FAIL  grpc $1"
        sed 's/^/  /' "$work/case.log"
        failed=$((failed + 1))
    fi
}

# The sections with failed cases are named "section/number"; those in h2spec-known.txt are expected.
run_h2spec() {
    timeout 300 "$cache/h2spec" -h 127.0.0.1 -p "$port" -P / -o 2 -j "$work/h2spec.xml" >"$work/h2spec.log" 2>&1
    python3 "$here/h2spec_result.py" "$work/h2spec.xml" "$here/h2spec-known.txt" >"$work/h2spec.result" || {
        tail -n 20 "$work/h2spec.log"
        echo "FAIL  h2spec gave no result"
        failed=$((failed + 1))
        return
    }
    grep -v '^counts ' "$work/h2spec.result"
    read -r _ p f s <<COUNTS
$(grep '^counts ' "$work/h2spec.result")
COUNTS
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

run_grpcio() {
    timeout 120 "$python" "$here/grpcio_client.py" "127.0.0.1:$port" >"$work/grpcio.log" 2>&1
    status=$?
    cat "$work/grpcio.log"
    passed=$((passed + $(grep -c '^ok ' "$work/grpcio.log")))
    failures=$(grep -c '^FAIL ' "$work/grpcio.log")
    [ "$status" -ne 0 ] && [ "$failures" -eq 0 ] && failures=1
    failed=$((failed + failures))
}

stop_server() { # a drain must end the process cleanly
    kill -TERM "$server_pid"
    if wait "$server_pid"; then
        echo "ok    the server drains on SIGTERM"
        passed=$((passed + 1))
    else
        echo "FAIL  the server did not drain on SIGTERM: $(cat "$work/server.err")"
        failed=$((failed + 1))
    fi
    server_pid=
}

[ -x "$server" ] || { echo "no server at $server: build plinth_interop_server first" >&2; exit 2; }
mkdir -p "$cache"
start_server
if build google.golang.org/grpc/interop/client interop_client; then
    for case in $grpc_cases; do run_grpc_case "$case"; done
else
    echo "skip  grpc interop client: it cannot be built here"
    for case in $grpc_cases; do skipped=$((skipped + 1)); done
fi
if build github.com/summerwind/h2spec/cmd/h2spec h2spec; then
    run_h2spec
else
    echo "skip  h2spec: it cannot be built here"
    skipped=$((skipped + 1))
fi
if "$python" -c 'import grpc' 2>/dev/null; then
    run_grpcio
else
    echo "skip  grpcio: $python does not have it"
    skipped=$((skipped + 1))
fi
stop_server
finish
