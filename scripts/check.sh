#!/usr/bin/env bash
# check.sh [CHECK...]
#
# The checks that need no build: format, layers, headers, size, shell, python, protos (default: all).
# The last line is `N passed, N failed[, N skipped]`; exit 1 when one failed.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

LINES_MAX=1000

check_format() { "$ROOT/scripts/format.sh" --check; }
check_layers() { python3 "$ROOT/scripts/check_layers.py"; }
check_headers() { "$ROOT/scripts/check_headers.sh"; }

# No source file of more than LINES_MAX lines.
check_size() {
    local long
    cd "$ROOT"
    long=$(find src include -name '*.[ch]' -exec wc -l {} \; |
        awk -v max="$LINES_MAX" '$1 > max { print $2 ": " $1 " lines (at most " max ")" }')
    [[ -z $long ]] || {
        echo "$long"
        return 1
    }
    echo "no source file is longer than $LINES_MAX lines"
}

check_shell() {
    local file files=() bad=0
    cd "$ROOT"
    mapfile -t files < <(find scripts .ci tests bench examples -type f \( -name '*.sh' -o -path '.ci/run' \) | sort)
    for file in "${files[@]}"; do
        bash -n "$file" || bad=1
        [[ $file == scripts/common.sh || -x $file ]] || {
            echo "$file is not executable"
            bad=1
        }
    done
    if have shellcheck; then
        shellcheck --severity=warning "${files[@]}" || bad=1
    fi
    [[ $bad -eq 0 ]] && echo "${#files[@]} shell scripts parse"
}

check_python() {
    local files=()
    cd "$ROOT"
    mapfile -t files < <(find scripts tests examples -type f -name '*.py' | sort)
    python3 - "${files[@]}" <<'PY'
import sys
for name in sys.argv[1:]:
    with open(name, encoding="utf-8") as f:
        compile(f.read(), name, "exec")
print(len(sys.argv) - 1, "Python files parse")
PY
}

check_protos() { "$ROOT/scripts/generate_proto.sh" --check; }

main() {
    local checks=(format layers headers size shell python protos) name rc passed=0 failed=0 skipped=0
    case ${1:-} in
    -h | --help) usage_of "$0" && exit 0 ;;
    esac
    [[ $# -eq 0 ]] || checks=("$@")
    for name in "${checks[@]}"; do
        declare -F "check_$name" >/dev/null || die "unknown check '$name'"
        say "$name"
        rc=0
        (set -e; "check_$name") || rc=$?
        case $rc in
        0) passed=$((passed + 1)) ;;
        77) skipped=$((skipped + 1)) ;;
        *)
            failed=$((failed + 1))
            printf '%sFAILED%s %s\n' "$RED" "$RESET" "$name"
            ;;
        esac
    done
    printf '%d passed, %d failed' "$passed" "$failed"
    [[ $skipped -eq 0 ]] || printf ', %d skipped' "$skipped"
    printf '\n'
    [[ $failed -eq 0 ]]
}

main "$@"
