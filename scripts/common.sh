# Shared by all scripts: source it first. Sets ROOT, goes nowhere, changes nothing.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=${PLINTH_JOBS:-$(nproc)}
VENV=$ROOT/build/venv

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' RED=$'\e[31m' GREEN=$'\e[32m' RESET=$'\e[0m'
else
    BOLD='' DIM='' RED='' GREEN='' RESET=''
fi
export BOLD DIM RED GREEN RESET

say() { printf '%s==>%s %s\n' "$BOLD" "$RESET" "$*"; }
note() { printf '%s    %s%s\n' "$DIM" "$*" "$RESET"; }
warn() { printf '%swarning:%s %s\n' "$RED" "$RESET" "$*" >&2; }
die() {
    printf '%serror:%s %s\n' "$RED" "$RESET" "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# usage_of SCRIPT: print the comment block that opens it.
usage_of() { awk 'NR == 1 { next } /^#/ { sub(/^# ?/, ""); print; next } { exit }' "$1"; }

# as_root COMMAND...: with sudo when not root.
as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        "$@"
    elif have sudo; then
        sudo -- "$@"
    else
        die "this needs root to run: $* (be root, or install sudo)"
    fi
}

# now_ms: wall clock in milliseconds.
now_ms() { date +%s%3N; }

# seconds_since MS: elapsed seconds with one decimal.
seconds_since() {
    local ms=$(($(now_ms) - $1))
    printf '%d.%d' $((ms / 1000)) $((ms % 1000 / 100))
}

# port_in_use PORT: true when something on 127.0.0.1 accepts connections there.
port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# python_env: a virtual environment with the packages of tests/integration/requirements.txt at $VENV, and those of
# requirements-peers.txt where they can be had.
# Made again only when the requirements change. Fails when the packages cannot be had.
python_env() {
    local requirements=$ROOT/tests/integration/requirements.txt stamp=$VENV/plinth-requirements
    local peers=$ROOT/tests/integration/requirements-peers.txt
    local -a pip=("$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all:)
    if [[ -x $VENV/bin/python ]] && cat "$requirements" "$peers" | cmp -s - "$stamp"; then
        return 0
    fi
    say "making the Python environment in ${VENV#"$ROOT"/}"
    rm -rf "$VENV"
    python3 -m venv "$VENV" || return 1
    "${pip[@]}" -r "$requirements" || return 1
    "${pip[@]}" -r "$peers" || warn "the packages of $peers could not be had: their tests are skipped"
    cat "$requirements" "$peers" >"$stamp"
}

# show_build_failure LOG: the errors in the log of a failed build.
show_build_failure() {
    grep -a -E -A 8 '^FAILED|error:|^CMake Error' "$1" | cut -c 1-240 | head -n 60 || tail -n 40 "$1"
}
