#!/usr/bin/env bash
# test.sh [--quick|--full] [--no-install] [PART...]
#
# Install what the tests need, build, and run the parts named (default: all):
#
#   check        formatting, layers, headers alone, scripts, protos       (scripts/check.sh)
#   unit         ctest, release build
#   integration  pytest against a running plinthd                         (tests/integration)
#   asan, tsan   ctest under AddressSanitizer+UBSan, and ThreadSanitizer
#   fuzz         every fuzzer for its share of a fixed time
#   crash        kill and power-loss rounds                               (tests/crash)
#   interop      grpc-go, grpcio, grpcurl, ghz, h2spec                    (tests/interop)
#   clang        the whole build with clang, and its unit tests
#   arm64        the rooms up to table/ cross-compiled for arm64, and their unit tests under qemu-user
#
# --quick shortens fuzz and crash; --full lengthens them (>= 200 crash rounds). Something that could not be had counts
# as skipped, never as passed. The last line is `N passed, N failed[, N skipped]`; exit 1 when anything failed.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ALL_PARTS=(check unit integration asan tsan fuzz crash interop clang arm64)
LENGTH=normal
RESULTS=$ROOT/build/test-results
TOTAL_PASSED=0 TOTAL_FAILED=0 TOTAL_SKIPPED=0
PASSED=0 FAILED=0 SKIPPED=0 # of the part that runs
SUMMARY=()
WRAPPER=() # a command that runs ctest

# by_length QUICK NORMAL FULL: the one that fits.
by_length() {
    case $LENGTH in
    quick) echo "$1" ;;
    full) echo "$3" ;;
    *) echo "$2" ;;
    esac
}

count() {
    PASSED=$((PASSED + $1))
    FAILED=$((FAILED + $2))
    SKIPPED=$((SKIPPED + $3))
}

# count_junit FILE RC: what the file says; a failing run whose file tells of no failure is one failure itself.
count_junit() {
    local passed failed skipped
    read -r passed failed skipped < <("$ROOT/scripts/count_results.py" "$1")
    if [[ $2 -ne 0 && $failed -eq 0 ]]; then
        warn "${1##*/}: the run ended with code $2"
        failed=1
    fi
    count "$passed" "$failed" "$skipped"
}

# count_last_line FILE RC: the `N passed, N failed[, N skipped]` that ends the output of a script.
count_last_line() {
    local line
    line=$(sed 's/\x1b\[[0-9;]*m//g' "$1" | grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' | tail -n 1)
    if [[ ! $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
        if [[ $2 -eq 77 ]]; then
            count 0 0 1
        else
            warn "no counts at the end of the output"
            count 0 1 0
        fi
        return
    fi
    local failed=${BASH_REMATCH[2]}
    [[ $2 -eq 0 || $2 -eq 77 || $failed -gt 0 ]] || failed=1
    count "${BASH_REMATCH[1]}" "$failed" "${BASH_REMATCH[4]:-0}"
}

# build PRESET [TARGET...]: false, and one failure counted, when it does not build.
build() {
    local log=$RESULTS/build-$1.log
    if "$ROOT/scripts/build.sh" "$@" >"$log" 2>&1; then
        return 0
    fi
    show_build_failure "$log"
    warn "the $1 build failed: ${log#"$ROOT"/}"
    count 0 1 0
    return 1
}

# run_ctest PRESET NAME [CTEST ARGUMENT...]
run_ctest() {
    local preset=$1 name=$2 rc=0
    shift 2
    rm -f "$RESULTS/$name.xml"
    "${WRAPPER[@]}" ctest --test-dir "$ROOT/build/$preset" --output-junit "$RESULTS/$name.xml" --output-on-failure \
        --parallel "$JOBS" --no-tests=error "$@" || rc=$?
    count_junit "$RESULTS/$name.xml" "$rc"
}

run_pytest() {
    local folder=$1 name=$2 rc=0
    shift 2
    rm -f "$RESULTS/$name.xml"
    PLINTH_BIN_DIR=${PLINTH_BIN_DIR:-$ROOT/build/release/bin} "$VENV/bin/python" -m pytest -q -p no:cacheprovider \
        --junitxml="$RESULTS/$name.xml" "$@" "$ROOT/$folder" || rc=$?
    count_junit "$RESULTS/$name.xml" "$rc"
}

# need_python: the virtual environment; false, and one skip counted, when its packages cannot be had.
need_python() {
    python_env && return 0
    warn "the Python packages of tests/integration/requirements.txt could not be had"
    count 0 0 1
    return 1
}

part_check() {
    local rc=0
    "$ROOT/scripts/check.sh" | tee "$RESULTS/check.log" || rc=$?
    count_last_line "$RESULTS/check.log" "$rc"
}

part_unit() {
    build release || return 0
    run_ctest release unit --label-exclude crash
}

part_integration() {
    build release || return 0
    need_python || return 0
    run_pytest tests/integration integration
}

part_asan() {
    build asan || return 0
    ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
        PLINTH_CRASH_ROUNDS=5 run_ctest asan asan
}

part_tsan() {
    build tsan || return 0
    # gcc 12's runtime does not expect the mappings that a high vm.mmap_rnd_bits gives: no address randomisation.
    if have setarch && setarch -R true 2>/dev/null; then
        WRAPPER=(setarch -R)
    fi
    TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 PLINTH_CRASH_ROUNDS=5 run_ctest tsan tsan \
        --label-exclude one_thread
    WRAPPER=()
}

# run_fuzzer NAME CORPUS SECONDS: one fuzzer; new inputs stay below build/, a crash leaves its input in the results.
run_fuzzer() {
    local name=$1 corpus=$2 seconds=$3 grown=$ROOT/build/fuzz/corpora/$1 log=$RESULTS/fuzz-$1.log
    mkdir -p "$grown" "$RESULTS/artifacts"
    [[ -d $corpus ]] || corpus=
    ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 \
        "$ROOT/build/fuzz/fuzzers/$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$RESULTS/artifacts/$name-" "$grown" ${corpus:+"$corpus"} >"$log" 2>&1 || return 1
    grep -q '^stat::number_of_executed_units: *[1-9]' "$log"
}

part_fuzz() {
    local names=() corpora=() name corpus budget seconds i j pids=() pid
    have clang || {
        warn "clang is not installed"
        count 0 0 1
        return 0
    }
    build fuzz fuzzers || return 0
    while read -r name corpus; do
        names+=("$name")
        corpora+=("$corpus")
    done <"$ROOT/build/fuzz/fuzzers.txt"
    [[ ${#names[@]} -gt 0 ]] || return 0
    # Two at a time share the budget.
    budget=$(by_length 60 240 1800)
    seconds=$((budget * 2 / ${#names[@]}))
    seconds=$((seconds > budget / 4 ? budget / 4 : seconds < 3 ? 3 : seconds))
    note "${#names[@]} fuzzers, $seconds s each"
    for ((i = 0; i < ${#names[@]}; i += 2)); do
        pids=()
        for ((j = i; j < i + 2 && j < ${#names[@]}; j++)); do
            run_fuzzer "${names[j]}" "${corpora[j]}" "$seconds" &
            pids+=("$!:${names[j]}")
        done
        for pid in "${pids[@]}"; do
            name=${pid#*:}
            if wait "${pid%%:*}"; then
                count 1 0 0
                note "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$RESULTS/fuzz-$name.log") runs"
            else
                count 0 1 0
                warn "$name failed: build/test-results/fuzz-$name.log"
                tail -n 25 "$RESULTS/fuzz-$name.log"
            fi
        done
    done
}

part_crash() {
    local rounds
    rounds=$(by_length 20 50 250)
    build release || return 0
    PLINTH_CRASH_ROUNDS=$rounds run_ctest release crash --label-regex crash
    if compgen -G "$ROOT/tests/crash/test_*.py" >/dev/null; then
        need_python || return 0
        PLINTH_CRASH_ROUNDS=$rounds run_pytest tests/crash crash-kill
    fi
}

part_interop() {
    local rc=0 python=python3
    build release || return 0
    if [[ $INSTALL -eq 1 ]]; then
        "$ROOT/scripts/install_deps.sh" --with-go || warn "no Go could be had"
    fi
    have go || {
        warn "no Go here"
        count 0 0 1
        return 0
    }
    python_env && python=$VENV/bin/python
    PLINTH_PYTHON=$python "$ROOT/tests/interop/run.sh" "$ROOT/build/release/tests/interop/plinth_interop_server" </dev/null 2>&1 |
        tee "$RESULTS/interop-transport.log" || rc=$?
    count_last_line "$RESULTS/interop-transport.log" "$rc"
    rc=0
    "$ROOT/tests/interop/clients/clients.sh" "${PLINTH_BIN_DIR:-$ROOT/build/release/bin}/plinthd" </dev/null 2>&1 |
        tee "$RESULTS/interop-clients.log" || rc=$?
    count_last_line "$RESULTS/interop-clients.log" "$rc"
}

part_clang() {
    have clang || {
        warn "clang is not installed"
        count 0 0 1
        return 0
    }
    build clang || return 0
    run_ctest clang clang --label-exclude crash
}

# need_arm64: compiler, emulator and libraries; false, and one skip counted, when they cannot be had.
need_arm64() {
    local reason=
    if [[ $INSTALL -eq 1 && $(uname -m) == x86_64 ]]; then
        "$ROOT/scripts/install_deps.sh" arm64 || true
    fi
    if [[ $(uname -m) != x86_64 ]]; then
        reason="the cross compiler is for x86-64; here is $(uname -m)"
    elif ! have aarch64-linux-gnu-gcc || ! have qemu-aarch64; then
        reason="no gcc-aarch64-linux-gnu or no qemu-user"
    elif ! "$ROOT/scripts/arm64_sysroot.sh" "$ROOT/build/arm64-sysroot"; then
        reason="the arm64 libraries could not be had"
    fi
    [[ -n $reason ]] || return 0
    warn "$reason"
    count 0 0 1
    return 1
}

# Not among them: what takes minutes when emulated and says nothing that the others do not.
part_arm64() {
    local rooms=(base column expr parquet log table) room targets=() slow='test_block_merge|test_row_segment$'
    need_arm64 || return 0
    for room in "${rooms[@]}"; do
        targets+=("tests/unit/$room/all")
    done
    build arm64 "${targets[@]}" || return 0
    for room in "${rooms[@]}"; do
        run_ctest "arm64/tests/unit/$room" "arm64-$room" --exclude-regex "$slow"
    done
}

run_part() {
    local start
    start=$(now_ms)
    PASSED=0 FAILED=0 SKIPPED=0
    say "$1"
    "part_$1" || count 0 1 0
    TOTAL_PASSED=$((TOTAL_PASSED + PASSED))
    TOTAL_FAILED=$((TOTAL_FAILED + FAILED))
    TOTAL_SKIPPED=$((TOTAL_SKIPPED + SKIPPED))
    SUMMARY+=("$(printf '%-12s %5d passed %4d failed %4d skipped %8s s' "$1" "$PASSED" "$FAILED" "$SKIPPED" \
        "$(seconds_since "$start")")")
    note "${SUMMARY[-1]}"
}

main() {
    local parts=() part
    INSTALL=1
    while [[ $# -gt 0 ]]; do
        case $1 in
        --quick) LENGTH=quick ;;
        --full) LENGTH=full ;;
        --no-install) INSTALL=0 ;;
        -h | --help) usage_of "$0" && exit 0 ;;
        -*) die "unknown option '$1'" ;;
        *)
            declare -F "part_$1" >/dev/null || die "unknown part '$1' (${ALL_PARTS[*]})"
            parts+=("$1")
            ;;
        esac
        shift
    done
    [[ ${#parts[@]} -gt 0 ]] || parts=("${ALL_PARTS[@]}")
    [[ $INSTALL -eq 0 ]] || "$ROOT/scripts/install_deps.sh" build test
    mkdir -p "$RESULTS"
    for part in "${parts[@]}"; do
        run_part "$part"
    done
    say "summary"
    printf '    %s\n' "${SUMMARY[@]}"
    printf '%d passed, %d failed' "$TOTAL_PASSED" "$TOTAL_FAILED"
    [[ $TOTAL_SKIPPED -eq 0 ]] || printf ', %d skipped' "$TOTAL_SKIPPED"
    printf '\n'
    [[ $TOTAL_FAILED -eq 0 ]]
}

main "$@"
