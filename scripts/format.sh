#!/usr/bin/env bash
# format.sh [--check]
#
# Format every C file with clang-format 14 and .clang-format; with --check only say which files differ.
# Exit: 0 fine, 1 files differ, 77 no clang-format 14 (other versions format differently).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

find_clang_format() {
    local tool
    for tool in clang-format-14 clang-format; do
        if have "$tool" && "$tool" --version | grep -q 'version 14\.'; then
            echo "$tool"
            return 0
        fi
    done
    return 1
}

main() {
    local tool files differing
    case ${1:-} in
    '' | --check) ;;
    -h | --help) usage_of "$0" && exit 0 ;;
    *) die "unknown option '$1'" ;;
    esac
    tool=$(find_clang_format) || {
        warn "clang-format 14 is not installed"
        exit 77
    }
    cd "$ROOT"
    mapfile -t files < <(find api bench examples include src tests -name '*.[ch]' -not -path '*/build/*' | sort)
    if [[ ${1:-} != --check ]]; then
        "$tool" -i "${files[@]}"
        return
    fi
    differing=$(printf '%s\n' "${files[@]}" | xargs -P "$JOBS" -I{} sh -c \
        "$tool \"\$1\" | cmp -s - \"\$1\" || echo \"\$1\"" sh {} | sort)
    if [[ -n $differing ]]; then
        sed 's|$| is not formatted (scripts/format.sh)|' <<<"$differing"
        exit 1
    fi
    echo "${#files[@]} files are formatted"
}

main "$@"
