#!/usr/bin/env bash
# install_deps.sh [--with-go] [GROUP...]
#
# Install what Plinth needs from the system's packages (apt; through sudo when not root). Does nothing, quickly,
# when all of it is there. Groups: build, test, bench, peers, arm64 (default: build). --with-go adds a Go of at least 1.23, from
# the backports of the mirror this machine already uses, when there is none in PATH. --mirror only prints that mirror's
# address and the file of its keys.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

GO_MIN=1.23

build_packages=(
    gcc libc6-dev make cmake ninja-build pkg-config ccache git ca-certificates curl zstd python3
    protobuf-compiler protobuf-c-compiler libprotobuf-c-dev libprotobuf-dev
    libnghttp2-dev libssl-dev libmicrohttpd-dev
    libzstd-dev liblz4-dev libsnappy-dev zlib1g-dev libbrotli-dev libxxhash-dev
    libjemalloc-dev libcmocka-dev libpg-query-dev libroaring-dev
)
test_packages=(python3-venv clang clang-format llvm)
bench_packages=(util-linux procps)
peers_packages=(g++ dpkg-dev librocksdb-dev liblmdb-dev)
arm64_packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)

# The sanitizer and fuzzer runtime is packaged apart from clang, under the version of the distribution's clang.
clang_runtime_package() {
    case $(. /etc/os-release && echo "${VERSION_ID:-}") in
    12) echo libclang-rt-14-dev ;;
    13) echo libclang-rt-19-dev ;;
    *) ;;
    esac
}

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

missing_of() {
    local package
    for package in "$@"; do
        installed "$package" || echo "$package"
    done
}

apt_get() { as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null; }

apt_install() {
    say "installing: $*"
    apt_get install -y --no-install-recommends "$@" >/dev/null && return 0
    note "refreshing the package lists first"
    apt_get update
    apt_get install -y --no-install-recommends "$@" >/dev/null
}

go_is_new_enough() {
    local version
    have go || return 1
    version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) || return 1
    [[ $(printf '%s\n%s\n' "$GO_MIN" "${version#go}" | sort -V | head -n 1) == "$GO_MIN" ]]
}

# The URI and key file of the first apt source of this release, as "URI KEYFILE"; both source formats are read.
apt_mirror() {
    local codename=$1 file
    for file in /etc/apt/sources.list.d/*.sources; do
        [[ -e $file ]] || continue
        awk -v code="$codename" '
            function flush() { if (uri != "" && suites ~ ("(^| )" code "( |$)")) { print uri, key; exit } uri = suites = key = "" }
            /^URIs:/ { uri = $2 } /^Suites:/ { $1 = ""; suites = $0 } /^Signed-By:/ { key = $2 }
            /^[ \t]*$/ { flush() } END { flush() }' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [[ -e $file ]] || continue
        awk -v code="$codename" '
            $1 == "deb" { gsub(/\[[^]]*\]/, ""); if ($3 == code) { print $2, ""; exit } }' "$file"
    done
}

install_go() {
    local codename mirror uri key
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$(apt_mirror "$codename" | head -n 1)
    [[ -n $mirror ]] || die "no apt source for '$codename' found: install Go >= $GO_MIN by hand"
    uri=${mirror%% *} key=${mirror#* }
    say "adding $codename-backports for Go"
    printf 'deb %s%s %s-backports main\n' "${key:+[signed-by=$key] }" "$uri" "$codename" |
        as_root tee /etc/apt/sources.list.d/plinth-backports.list >/dev/null
    apt_get update
    apt_get install -y --no-install-recommends -t "$codename-backports" golang-go >/dev/null
    hash -r
    go_is_new_enough || die "the Go in $codename-backports is older than $GO_MIN"
}

main() {
    local with_go=0 packages=() group runtime missing
    [[ $# -gt 0 ]] || set -- build
    for group in "$@"; do
        case $group in
        build) packages+=("${build_packages[@]}") ;;
        test)
            packages+=("${test_packages[@]}")
            runtime=$(clang_runtime_package)
            [[ -z $runtime ]] || packages+=("$runtime")
            ;;
        peers) packages+=("${peers_packages[@]}") ;;
        bench) packages+=("${bench_packages[@]}") ;;
        arm64) packages+=("${arm64_packages[@]}") ;;
        --with-go) with_go=1 ;;
        --mirror) apt_mirror "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" | head -n 1 && exit 0 ;;
        -h | --help) usage_of "$0" && exit 0 ;;
        *) die "unknown group '$group' (build, test, bench, peers, arm64, --with-go, --mirror)" ;;
        esac
    done
    if ! have apt-get || ! have dpkg-query; then
        warn "no apt here: install by hand the equivalents of: ${packages[*]}"
        return 0
    fi
    mapfile -t missing < <(missing_of "${packages[@]}")
    [[ ${#missing[@]} -eq 0 ]] || apt_install "${missing[@]}"
    if [[ $with_go -eq 1 ]] && ! go_is_new_enough; then
        install_go
    fi
}

main "$@"
