#!/usr/bin/env bash
# Install what is missing of the system packages for the given purposes, and nothing when nothing is missing.
#
#   tools/install_system_packages.sh build|demo|test|torture|fuzz|bench|e2e|deb ...
#
#   build  a Python that can make virtual environments
#   demo   libiscsi and its tools, QEMU's disk tools with their iSCSI driver
#   test   what the tests need beyond the demo's: Debian's fence agents, openssl for the certificates of a test's BMC,
#          net-snmp with smilint, and an etcd server for the witness; neither snmptrapd nor etcd is ever started as a service
#   torture  ip(8) and nsenter(1), for the network namespaces of the torture run
#   e2e    QEMU and what makes the machines of the end-to-end lab
#   bench  tgt, the target we measure ourselves against; it is never started as a service
#   fuzz   the C++ compiler that builds libFuzzer
#   deb    what builds the Debian packages
set -eu

PATH="$PATH:/usr/sbin:/sbin" # where daemons are, which is not on every user's path
updated=""

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo "$@"
    else echo "twindisk: need root (or sudo) to run: $*" >&2; exit 1
    fi
}

apt_install() {
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "twindisk: no apt-get here; install these Debian packages' counterparts by hand: $*" >&2
        exit 1
    fi
    echo "Installing $*" >&2
    if [ -z "$updated" ] && as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends --allow-downgrades "$@" >/dev/null 2>&1; then
        return
    fi
    refresh_lists
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends --allow-downgrades "$@" >/dev/null
}

refresh_lists() {
    if [ -z "$updated" ]; then as_root apt-get update -qq >/dev/null; updated=yes; fi
}

candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# QEMU's tools can be there without the iSCSI driver, or with one of another version that they refuse to load.
qemu_speaks_iscsi() {
    command -v qemu-img >/dev/null 2>&1 || return 1
    ! LC_ALL=C qemu-img info iscsi://127.0.0.1:1/iqn.1994-05.invalid:none/0 2>&1 | grep -Eqi 'unknown protocol|unable to load module'
}

install_qemu() {
    qemu_speaks_iscsi && return
    [ -n "$(candidate qemu-block-extra)" ] || refresh_lists
    # Both at one version, even if that takes a newer qemu-utils back: the driver must match its tools.
    local version
    version=$(candidate qemu-block-extra)
    apt_install "qemu-utils${version:+=$version}" "qemu-block-extra${version:+=$version}"
    qemu_speaks_iscsi || { echo "twindisk: qemu-img still lacks its iSCSI driver" >&2; exit 1; }
}

# Install packages that come with services. Debian starts a service as soon as its package is installed, unless policy-rc.d says no;
# the services of packages that were not there before stay off for good.
install_without_services() {
    local policy=/usr/sbin/policy-rc.d made="" failed="" new="" package
    for package in "$@" $(LC_ALL=C apt-cache depends "$@" 2>/dev/null | awk '$1 == "Depends:" { print $2 }'); do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || new="$new $package"
    done
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        made=yes
    fi
    (apt_install "$@") || failed=yes
    if [ -n "$made" ]; then as_root rm -f "$policy"; fi
    [ -z "$failed" ] || exit 1
    [ -d /run/systemd/system ] || return 0
    for package in $new; do
        as_root systemctl disable --now "$package.service" "$package.socket" >/dev/null 2>&1 || true
    done
}

install_tgt() {
    command -v tgtd >/dev/null 2>&1 && command -v tgtadm >/dev/null 2>&1 && return
    install_without_services tgt
}

install_snmp() {
    command -v snmptrapd >/dev/null 2>&1 || install_without_services snmptrapd
    command -v snmptranslate >/dev/null 2>&1 || apt_install snmp
    command -v smilint >/dev/null 2>&1 || apt_install smitools
}

# What makes and runs the end-to-end lab's machines. Their own packages are not installed here, but apt must know them.
install_lab() {
    local missing="" need command package
    for need in qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap busybox:busybox-static cpio:cpio zstd:zstd lz4:lz4 \
        mke2fs:e2fsprogs ip:iproute2 modprobe:kmod losetup:mount setpriv:util-linux \
        systemd-nspawn:systemd-container lintian:lintian; do
        command=${need%%:*} package=${need#*:}
        command -v "$command" >/dev/null 2>&1 || missing="$missing $package"
    done
    # shellcheck disable=SC2086 # words
    if [ -n "$missing" ]; then apt_install $missing; fi
    [ -n "$(candidate linux-image-amd64)" ] || refresh_lists
}

for purpose in "$@"; do
    case "$purpose" in
    build)
        python="${PYTHON:-python3}"
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "twindisk: needs Python 3.11 or later" >&2; exit 1; }
        "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
        command -v cargo >/dev/null 2>&1 || { echo "twindisk: needs Rust (cargo) and a C linker" >&2; exit 1; }
        ;;
    demo)
        if ! { command -v iscsi-ls && command -v iscsi-inq && command -v iscsi-readcapacity16 && command -v iscsi-test-cu; } >/dev/null 2>&1; then
            apt_install libiscsi-bin
        fi
        install_qemu
        ;;
    test)
        command -v fence_redfish >/dev/null 2>&1 || apt_install fence-agents
        command -v openssl >/dev/null 2>&1 || apt_install openssl
        install_snmp
        command -v etcd >/dev/null 2>&1 || install_without_services etcd-server
        ;;
    torture)
        command -v ip >/dev/null 2>&1 || apt_install iproute2
        command -v nsenter >/dev/null 2>&1 || apt_install util-linux
        ;;
    fuzz) command -v c++ >/dev/null 2>&1 || apt_install g++ ;;
    bench) install_tgt ;;
    e2e) install_lab ;;
    deb)
        if ! { command -v dpkg-shlibdeps && command -v strip; } >/dev/null 2>&1; then apt_install dpkg-dev binutils; fi
        [ -x /usr/bin/python3 ] || apt_install python3
        ;;
    *) echo "unknown purpose: $purpose" >&2; exit 2 ;;
    esac
done
