#!/usr/bin/env bash
# generate_proto.sh [--check]
#
# Make the Python stubs of api/plinth/v1/*.proto in build/python, for the tests. (The C code is made by CMake, with
# protoc-c.) --check only compiles the protos and fails on any warning.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
    local protos scratch warnings
    case ${1:-} in
    '' | --check) ;;
    -h | --help) usage_of "$0" && exit 0 ;;
    *) die "unknown option '$1'" ;;
    esac
    cd "$ROOT"
    mapfile -t protos < <(find api/plinth -name '*.proto' | sort)
    [[ ${#protos[@]} -gt 0 ]] || die "no .proto below api/plinth"
    if [[ ${1:-} == --check ]]; then
        have protoc || {
            warn "protoc is not installed"
            exit 77
        }
        scratch=$(mktemp -d)
        # shellcheck disable=SC2064
        trap "rm -rf '$scratch'" EXIT
        warnings=$(protoc -I api --descriptor_set_out="$scratch/all.pb" "${protos[@]}" 2>&1) || {
            echo "$warnings"
            exit 1
        }
        [[ -z $warnings ]] || {
            echo "$warnings"
            exit 1
        }
        echo "${#protos[@]} protos compile"
        return
    fi
    python_env
    rm -rf build/python
    mkdir -p build/python
    "$VENV/bin/python" -m grpc_tools.protoc -I api --python_out=build/python --grpc_python_out=build/python "${protos[@]}"
    echo "build/python: stubs of ${#protos[@]} protos"
}

main "$@"
