#!/usr/bin/env bash
# test_fresh_system.sh DIR [--base TARBALL] [--keep] [COMMAND...]
#
# Prove that Plinth builds and runs on a fresh Debian 12: makes a minimal system in DIR/rootfs by debootstrap (kept as
# TARBALL, default DIR/base.tar.zst, for the next time), puts a clean clone of HEAD into it, and runs COMMAND in the
# clone as root, each argument a command line of its own. Default: `scripts/run_local.sh --once` and `scripts/test.sh`.
#
# The new system gets nothing of this one but its network and how it reaches packages: Debian apt sources, proxy
# settings, CA certificates, and the settings of pip and Go. Needs root, debootstrap and unshare. The mounts and
# everything started inside vanish with the command. --keep leaves DIR/rootfs for a look.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

SUITE=bookworm
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# What a command inside may know of the environment here: how to reach packages.
passed_environment() {
    env | grep -E -i '^((https?|ftp|all|no)_proxy|PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|CERT|PROXY|DEFAULT_TIMEOUT|RETRIES)|GOPROXY|GOSUMDB|GONOSUMDB|GOFLAGS|GONOPROXY|GOPRIVATE|SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|PLINTH_JOBS|NO_COLOR)=' ||
        true
}

debian_mirror() {
    local uri
    uri=$(cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
        awk '/^URIs:/ { uri = $2 } /^Suites:/ && / '"$SUITE"'( |$)/ { print uri; exit }')
    [[ -n $uri ]] || uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed 's/\[[^]]*\]//' | awk -v s="$SUITE" '$1 == "deb" && $3 == s { print $2; exit }')
    echo "${uri:-http://deb.debian.org/debian}"
}

make_base() {
    local dir=$1 tarball=$2 keyring=()
    have debootstrap || die "debootstrap is not installed"
    [[ ! -e $KEYRING ]] || keyring=(--keyring="$KEYRING")
    say "debootstrap of $SUITE (minbase)"
    debootstrap --variant=minbase "${keyring[@]}" "$SUITE" "$dir/rootfs" "$(debian_mirror)" >"$dir/debootstrap.log" 2>&1 || {
        tail -n 20 "$dir/debootstrap.log"
        die "debootstrap failed: $dir/debootstrap.log"
    }
    tar --zstd -cf "$tarball" -C "$dir/rootfs" .
}

# The apt sources and settings of this system that concern Debian's own packages.
copy_apt_settings() {
    local rootfs=$1 file
    rm -f "$rootfs/etc/apt/sources.list"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
        [[ -f $file ]] && grep -qE "(^Suites:.*| )$SUITE( |$)" "$file" && install -D -m 644 "$file" "$rootfs$file"
    done
    for file in /etc/apt/apt.conf /etc/apt/apt.conf.d/*; do
        [[ -f $file ]] && grep -qE '^ *Acquire' "$file" && install -D -m 644 "$file" "$rootfs$file"
    done
    return 0
}

copy_network_settings() {
    local rootfs=$1 file
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
        [[ ! -f $file ]] || install -D -m 644 "$file" "$rootfs$file"
    done
    # The bundle now, and this system's own certificates for when the package ca-certificates makes its bundle.
    [[ ! -f /etc/ssl/certs/ca-certificates.crt ]] ||
        install -D -m 644 /etc/ssl/certs/ca-certificates.crt "$rootfs/etc/ssl/certs/ca-certificates.crt"
    for file in /usr/local/share/ca-certificates/*.crt; do
        [[ ! -f $file ]] || install -D -m 644 "$file" "$rootfs$file"
    done
}

# enter ROOTFS COMMAND: in namespaces of its own, so that nothing it starts or mounts outlives it.
enter() {
    local rootfs=$1 line settings=()
    while IFS= read -r line; do settings+=("$line"); done < <(passed_environment)
    unshare --mount --pid --fork --kill-child -- bash -c '
        set -e
        mount --make-rprivate /
        mount --bind "$1" "$1"
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        shift_root=$1
        shift
        exec chroot "$shift_root" /usr/bin/env -i "$@"' enter "$rootfs" \
        HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
        "${settings[@]}" bash -c "cd /root/plinth && $2" </dev/null
}

main() {
    local dir='' base='' keep=0 commands=() rc=0 command start
    while [[ $# -gt 0 ]]; do
        case $1 in
        -h | --help) usage_of "$0" && exit 0 ;;
        --base)
            base=${2:?--base needs a file}
            shift
            ;;
        --keep) keep=1 ;;
        *) if [[ -z $dir ]]; then dir=$1; else commands+=("$1"); fi ;;
        esac
        shift
    done
    [[ -n $dir ]] || die "which directory? (--help)"
    [[ $(id -u) -eq 0 ]] || die "making a chroot needs root"
    [[ ${#commands[@]} -gt 0 ]] || commands=("scripts/run_local.sh --once" "scripts/test.sh")
    mkdir -p "$dir"
    dir=$(cd "$dir" && pwd)
    base=${base:-$dir/base.tar.zst}
    rm -rf --one-file-system "$dir/rootfs"
    if [[ -f $base ]]; then
        mkdir "$dir/rootfs"
        tar --zstd -xf "$base" -C "$dir/rootfs"
    else
        make_base "$dir" "$base"
    fi
    copy_apt_settings "$dir/rootfs"
    copy_network_settings "$dir/rootfs"
    git clone -q --no-hardlinks "$ROOT" "$dir/rootfs/root/plinth"
    say "fresh system in $dir/rootfs, clone of $(git -C "$ROOT" rev-parse --short HEAD)"
    enter "$dir/rootfs" "apt-get -qq update"
    for command in "${commands[@]}"; do
        say "inside: $command"
        start=$(now_ms)
        rc=0
        enter "$dir/rootfs" "$command" || rc=$?
        say "ended with $rc after $(seconds_since "$start") s: $command"
        [[ $rc -eq 0 ]] || break
    done
    [[ $keep -eq 1 ]] || rm -rf --one-file-system "$dir/rootfs"
    exit "$rc"
}

main "$@"
