#!/usr/bin/env bash
# check_headers.sh
#
# Compile every header of src/ and include/ (and tests/support) alone, twice over, with the flags of the build: a
# header includes what it uses and guards itself.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
    local cc=${CC:-gcc} scratch headers failed
    case ${1:-} in
    -h | --help) usage_of "$0" && exit 0 ;;
    esac
    cd "$ROOT"
    scratch=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$scratch'" EXIT
    mkdir -p "$scratch/proto"
    if have protoc-c && compgen -G 'api/plinth/v1/*.proto' >/dev/null; then
        find api -name '*.proto' -print0 | xargs -0 protoc-c -I api --c_out="$scratch/proto"
    fi
    mapfile -t headers < <(find src include tests/support -name '*.h' | sort)
    cat >"$scratch/one.sh" <<'ONE'
header=$1 scratch=$2 cc=$3
printf '#include "%s"\n#include "%s"\nextern int plinth_header_check;\n' "$header" "$header" |
    "$cc" -std=gnu17 -D_GNU_SOURCE -DPLINTH_VERSION='"0"' -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
        -Wno-missing-field-initializers -fsyntax-only -I. -Isrc -Iinclude -Itests -Itests/support \
        -I"$scratch/proto" -x c - || echo "$header" >>"$scratch/failed"
ONE
    printf '%s\n' "${headers[@]}" | xargs -P "$JOBS" -I{} sh "$scratch/one.sh" {} "$scratch" "$cc"
    if [[ -s $scratch/failed ]]; then
        failed=$(sort "$scratch/failed")
        sed 's|$| does not compile alone|' <<<"$failed"
        exit 1
    fi
    echo "${#headers[@]} headers compile alone"
}

main "$@"
