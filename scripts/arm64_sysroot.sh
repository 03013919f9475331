#!/usr/bin/env bash
# arm64_sysroot.sh DIR
#
# Unpack the arm64 packages that Plinth is built against into DIR, from the mirrors this machine already uses. Package
# lists and state are DIR's own: the system learns of no second architecture, and nothing here needs root. Does
# nothing, quickly, when DIR has them; fails when they cannot be had.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
    libc6-dev libxxhash-dev libzstd-dev liblz4-dev libsnappy-dev zlib1g-dev libbrotli-dev libcmocka-dev
    libroaring-dev libpg-query-dev libprotobuf-c-dev libnghttp2-dev libssl-dev libmicrohttpd-dev libjemalloc-dev
)

# Links to absolute paths name the system's files; here they shall name those of the sysroot.
make_links_relative() {
    local link target
    find "$1" -type l -lname '/*' | while read -r link; do
        target=$(readlink "$link")
        ln -sfn "$(realpath -m --relative-to="${link%/*}" "$1$target")" "$link"
    done
}

main() {
    [[ $# -eq 1 && $1 != -* ]] || { usage_of "$0" && exit 1; }
    local sysroot=$1 work=$1.packages stamp=$1/plinth-packages package
    if [[ -e $stamp && $(<"$stamp") == "${packages[*]}" ]]; then
        return 0
    fi
    have apt-get && have dpkg-deb || die "no apt here"
    rm -rf "$sysroot" "$work"
    mkdir -p "$sysroot" "$work/state/lists/partial" "$work/cache/archives/partial"
    work=$(realpath "$work") sysroot=$(realpath "$sysroot")
    : >"$work/status"
    local apt=(apt-get -qq -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$work/state"
        -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache" -o Debug::NoLocking=1
        -o APT::Sandbox::User= -o Dpkg::Use-Pty=0)
    say "fetching the arm64 packages"
    "${apt[@]}" update </dev/null
    "${apt[@]}" --no-install-recommends --download-only install "${packages[@]}" </dev/null >/dev/null
    for package in "$work"/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$sysroot"
    done
    make_links_relative "$sysroot"
    rm -rf "$work"
    echo "${packages[*]}" >"$stamp"
}

main "$@"
