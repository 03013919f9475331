#!/usr/bin/env bash
# bench.sh NAME [ARGUMENT...]
#
# Build release and run the benchmark build/release/bench/bench_NAME, or bench/bench_NAME.py: it prints its table, then
# one line `NAME key=value ...`. Without a name, list what there is.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
    local name=${1:-}
    case $name in
    -h | --help) usage_of "$0" && exit 0 ;;
    '')
        echo "benchmarks:"
        find "$ROOT/bench" -maxdepth 1 -name 'bench_*.[cp]*' -exec basename {} \; | sed 's/^bench_/  /; s/\.[a-z]*$//' | sort
        exit 0
        ;;
    esac
    [[ $name =~ ^[a-z0-9_]+$ ]] || die "no such benchmark: '$name'"
    shift
    "$ROOT/scripts/install_deps.sh" build
    mkdir -p "$ROOT/build"
    "$ROOT/scripts/build.sh" release >"$ROOT/build/bench-build.log" 2>&1 || {
        show_build_failure "$ROOT/build/bench-build.log"
        die "the release build failed"
    }
    if [[ -f $ROOT/bench/bench_$name.py ]]; then
        python_env || die "the Python packages of this benchmark cannot be had"
        PLINTH_BUILD_DIR=$ROOT/build/release exec "$VENV/bin/python" "$ROOT/bench/bench_$name.py" "$@"
    fi
    [[ -x $ROOT/build/release/bench/bench_$name ]] || die "no such benchmark: '$name' (scripts/bench.sh lists them)"
    exec "$ROOT/build/release/bench/bench_$name" "$@"
}

main "$@"
