#!/usr/bin/env bash
# soak.sh [MINUTES] [PART...]
#
# The tests that find more the longer they run, in turn and with new seeds until MINUTES (default 60) are over:
#
#   models   differential tests against models: keys, rows, transactions, history, indexes, schemas, feeds
#   crash    simulated machines, killed processes
#   writes   one row at a time for ten minutes; everything deleted (once each, however long they take)
#   memory   20 million rows and large values under limits of 256 MiB, 1 GiB and 4 GiB, while queries run (once each; only
#            when asked for: docs/RELIABILITY.md)
#
# Every round prints how to repeat it. A failure ends its part. The last line is `N passed, N failed`.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

BUILD=$ROOT/build/release
PASSED=0 FAILED=0

# round COMMAND...: counts it; its output is shown when it fails.
round() {
    local log=$ROOT/build/soak.log began
    began=$(now_ms)
    if "$@" >"$log" 2>&1; then
        PASSED=$((PASSED + 1))
        note "passed after $(seconds_since "$began") s: $*"
        return 0
    fi
    FAILED=$((FAILED + 1))
    tail -n 60 "$log"
    warn "failed: $*"
    return 1
}

new_seed() { echo $((RANDOM * 32768 + RANDOM + 1)); }

# The programs and Python tests that take their seeds from PLINTH_SEED, and PLINTH_MODEL_SEED.
models() {
    local seed
    seed=$(new_seed)
    local -a tests
    mapfile -t tests < <(cd "$ROOT" && grep -l PLINTH_MODEL_SEED tests/integration/test_*.py)
    round env PLINTH_SEED="$seed" ctest --test-dir "$BUILD" --output-on-failure --parallel "$JOBS" \
        -R "^($(cd "$ROOT" && grep -rl 'getenv("PLINTH_SEED")' tests/unit | xargs -n 1 basename -s .c | paste -sd '|'))$" &&
        round env PLINTH_BIN_DIR="$BUILD/bin" PLINTH_MODEL_SEED="$seed" PLINTH_MODEL_SEEDS=2 PLINTH_MODEL_STEPS=400 \
            "$VENV/bin/python" -m pytest -q -p no:cacheprovider "${tests[@]/#/$ROOT/}"
}

crash() {
    local seed
    seed=$(new_seed)
    round "$BUILD/tests/crash/crash_sim" --seed "$seed" --rounds 100 &&
        round "$BUILD/tests/crash/crash_features" --seed "$seed" --rounds 50 &&
        round "$BUILD/tests/crash/crash_kill" --seed "$seed" --rounds 10
}

writes() {
    round "$BUILD/tests/soak/soak_writes" one-row 600
    cat "$ROOT/build/soak.log"
    round "$BUILD/tests/soak/soak_writes" delete-all 5000000
    cat "$ROOT/build/soak.log"
}

memory() {
    local limit
    for limit in 256M 1G 4G; do
        round "$BUILD/tests/soak/soak_memory" "$limit" 20000000
        grep -v level= "$ROOT/build/soak.log" || true
    done
}

main() {
    local minutes=60 parts=() part failed
    case ${1:-} in
    -h | --help) usage_of "$0" && exit 0 ;;
    [0-9]*)
        minutes=$1
        shift
        ;;
    esac
    [[ $minutes =~ ^[0-9]+$ ]] || die "not a number of minutes: '$minutes'"
    [[ $# -gt 0 ]] || set -- models crash writes
    parts=("$@")
    for part in "${parts[@]}"; do
        [[ $part =~ ^(models|crash|writes|memory)$ ]] || die "unknown part '$part' (models, crash, writes, memory)"
    done
    "$ROOT/scripts/install_deps.sh" build test
    mkdir -p "$ROOT/build"
    "$ROOT/scripts/build.sh" release >"$ROOT/build/soak-build.log" 2>&1 || {
        show_build_failure "$ROOT/build/soak-build.log"
        die "the release build failed"
    }
    python_env || die "the Python packages of the tests cannot be had"
    local end=$(($(date +%s) + minutes * 60)) rounds=()
    for part in "${parts[@]}"; do
        if [[ $part == writes || $part == memory ]]; then "$part"; else rounds+=("$part"); fi
    done
    while [[ ${#rounds[@]} -gt 0 && $(date +%s) -lt $end ]]; do
        for part in "${rounds[@]}"; do
            failed=$FAILED
            "$part" || true
            [[ $FAILED -eq $failed ]] || rounds=("${rounds[@]/$part/}")
        done
        mapfile -t rounds < <(printf '%s\n' "${rounds[@]}" | sed '/^$/d')
    done
    echo "$PASSED passed, $FAILED failed"
    [[ $FAILED -eq 0 ]]
}

main "$@"
