#!/usr/bin/env bash
# build.sh [PRESET] [TARGET...]
#
# Configure and build one preset (default: release) of CMakePresets.json into build/PRESET; all targets unless some
# are named. PLINTH_JOBS sets the number of parallel jobs.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
    local preset=release targets=()
    case ${1:-} in
    -h | --help) usage_of "$0" && exit 0 ;;
    -*) die "unknown option '$1'" ;;
    esac
    if [[ $# -gt 0 ]]; then
        preset=$1
        shift
    fi
    [[ $# -eq 0 ]] || targets=(--target "$@")
    cd "$ROOT"
    if have ccache; then
        export CMAKE_C_COMPILER_LAUNCHER=ccache
    fi
    cmake --preset "$preset" --log-level=WARNING
    cmake --build --preset "$preset" --parallel "$JOBS" "${targets[@]}"
}

main "$@"
