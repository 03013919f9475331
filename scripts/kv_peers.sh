#!/usr/bin/env bash
# kv_peers.sh
#
# Build what bench/bench_kv.py compares Plinth with into build/peers/bin: kv_rocksdb (RocksDB from the distribution's
# source package, optimised and without assertions), kv_rocksdb_packaged (the distribution's own library, which has
# them), kv_lmdb and kv_badger. What is there already is kept; what cannot be had is left out with a warning.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

PEERS=$ROOT/build/peers

# compile NAME LIBRARY...: the workload with bench/NAME.c, or that of PEER_SOURCE.
compile() {
    local name=$1
    shift
    mkdir -p "$PEERS/bin"
    gcc -std=gnu17 -D_GNU_SOURCE -O2 -DNDEBUG ${PEER_CFLAGS[@]+"${PEER_CFLAGS[@]}"} -I"$ROOT/bench" -o "$PEERS/bin/$name.tmp" \
        "$ROOT/bench/${PEER_SOURCE:-$name}.c" "$ROOT/bench/kv_workload.c" "$ROOT/bench/measure.c" "$@" -ljemalloc \
        -lpthread && mv "$PEERS/bin/$name.tmp" "$PEERS/bin/$name"
}

# The source package of RocksDB, its signature checked by apt, in $PEERS/rocksdb.
rocksdb_source() {
    local codename mirror uri key apt
    [[ ! -d $PEERS/rocksdb ]] || return 0
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$("$ROOT/scripts/install_deps.sh" --mirror)
    uri=${mirror%% *} key=${mirror#* }
    [[ -n $uri ]] || return 1
    rm -rf "$PEERS/source" && mkdir -p "$PEERS/source/lists/partial"
    printf 'deb-src %s%s %s main\n' "${key:+[signed-by=$key] }" "$uri" "$codename" >"$PEERS/source/sources.list"
    apt=(apt-get -qq -o "Dir::Etc::sourcelist=$PEERS/source/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$PEERS/source/lists" -o APT::Sandbox::User=root)
    "${apt[@]}" update && (cd "$PEERS/source" && "${apt[@]}" source --download-only rocksdb) || return 1
    dpkg-source -x "$PEERS"/source/rocksdb_*.dsc "$PEERS/rocksdb.tmp" >/dev/null && mv "$PEERS/rocksdb.tmp" "$PEERS/rocksdb"
}

rocksdb_library() {
    rocksdb_source || return 1
    cmake -G Ninja -S "$PEERS/rocksdb" -B "$PEERS/rocksdb-build" --log-level=WARNING -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DROCKSDB_BUILD_SHARED=OFF -DWITH_TESTS=OFF -DWITH_BENCHMARK_TOOLS=OFF \
        -DWITH_TOOLS=OFF -DWITH_CORE_TOOLS=OFF -DWITH_TRACE_TOOLS=OFF -DWITH_GFLAGS=OFF -DWITH_LZ4=ON -DWITH_ZSTD=ON \
        -DWITH_JEMALLOC=ON -DFAIL_ON_WARNINGS=OFF -DPORTABLE=OFF >/dev/null &&
        ninja -C "$PEERS/rocksdb-build" rocksdb >"$PEERS/rocksdb-build.log"
}

rocksdb_version() {
    awk '$2 ~ /^ROCKSDB_(MAJOR|MINOR|PATCH)$/ { printf "%s%s", sep, $3; sep = "." }' "$1/rocksdb/version.h"
}

build_rocksdb() {
    say "building RocksDB (a quarter of an hour when it is the first time)"
    rocksdb_library || return 1
    PEER_SOURCE=kv_rocksdb PEER_CFLAGS=(-I"$PEERS/rocksdb/include"
        "-DKV_ROCKSDB_TITLE=\"rocksdb $(rocksdb_version "$PEERS/rocksdb/include"), optimised, without assertions\"") \
        compile kv_rocksdb "$PEERS/rocksdb-build/librocksdb.a" -lstdc++ -lm -llz4 -lzstd -ldl
}

build_badger() {
    have go || return 1
    (cd "$ROOT/bench/badger" && go build -buildmode=c-archive -o "$PEERS/libkv_badger.a" .) || return 1
    PEER_CFLAGS=(-I"$PEERS") compile kv_badger "$PEERS/libkv_badger.a"
}

main() {
    case ${1:-} in
    -h | --help) usage_of "$0" && exit 0 ;;
    '') ;;
    *) die "unknown argument '$1'" ;;
    esac
    local PEER_SOURCE='' PEER_CFLAGS=()
    mkdir -p "$PEERS"
    "$ROOT/scripts/install_deps.sh" --with-go build peers || warn "not all packages of the peers could be had"
    compile kv_lmdb -llmdb || warn "no LMDB"
    PEER_SOURCE=kv_rocksdb PEER_CFLAGS=("-DKV_ROCKSDB_TITLE=\"rocksdb $(rocksdb_version /usr/include), as packaged\"") \
        compile kv_rocksdb_packaged -lrocksdb || warn "no packaged RocksDB"
    build_badger || warn "no BadgerDB"
    build_rocksdb || warn "RocksDB could not be built from source"
}

main "$@"
