#!/usr/bin/env bash
# Run the quick tests on CPythons that are newer than this system: those of Debian testing, in a root below target/.
# No part of `make test`, for it needs Debian, root and 4 GB. What is given goes to pytest; a script of benches/compare
# runs instead of the tests, beside the peers that install there:
#
#   NEWER=3.15 tests/newer.sh -k idle
#   NEWER=3.14 tests/newer.sh benches/compare/run.py --quick
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SUITE=forky
NEWER=${NEWER:-3.14 3.15}
ROOT=$PWD/target/newer/root
INSIDE=/checkout

if ! grep -qx ID=debian /etc/os-release 2>/dev/null || ((EUID != 0)); then
    echo "make test-newer needs Debian and root: it makes a root of Debian $SUITE and mounts the checkout there" >&2
    exit 1
fi

# Mounts are seen by this namespace alone, and go with it, however this ends.
if [[ ! -v NEWER_MOUNTS ]]; then
    NEWER_MOUNTS=own exec unshare --mount tests/newer.sh "$@"
fi

if [[ ! -d $ROOT ]]; then
    command -v debootstrap >/dev/null || apt-get install --yes --no-install-recommends debootstrap
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
    [[ -n $mirror ]] || { echo "apt knows no mirror of Debian: apt-get update" >&2; exit 1; }
    packages=gcc,libc6-dev,make,rustc,cargo,ca-certificates
    for version in $NEWER; do packages+=,python$version,python$version-venv,python$version-dev; done
    rm -rf "$ROOT.part"
    # Every suite before its release is set up as sid is; an older debootstrap does not know it by name.
    debootstrap --variant=minbase --include="$packages" "$SUITE" "$ROOT.part" "$mirror" /usr/share/debootstrap/scripts/sid
    mv "$ROOT.part" "$ROOT"
fi

# Package registries are reached as they are outside.
cp --dereference /etc/resolv.conf "$ROOT/etc/"
mkdir -p "$ROOT$INSIDE"
mount --bind "$ROOT" "$ROOT"
mount --bind "$PWD" "$ROOT$INSIDE"
for shared in /dev /proc /sys /etc/ssl/certs; do mount --rbind $shared "$ROOT$shared"; done
# Not chroot: tests mount, and enter each other's namespaces, for which / has to be the namespace's own.
cd "$ROOT"
pivot_root . .
umount --lazy .
cd "$INSIDE"

unset PYO3_PYTHON CARGO_HOME RUSTUP_HOME PIP_FIND_LINKS
export HOME=/root TMPDIR=/tmp
failed=()
for version in $NEWER; do
    printf '\n=== CPython %s ===\n' "$version"
    export VIRTUAL_ENV=$PWD/target/newer/venv-$version CARGO_TARGET_DIR=$PWD/target/newer/cargo-$version
    set +e  # what stands before || does not end at an error
    (
        set -e
        export PATH=$VIRTUAL_ENV/bin:/usr/sbin:/usr/bin:/sbin:/bin
        test -x "$VIRTUAL_ENV/bin/python" || "python$version" -m venv "$VIRTUAL_ENV"
        python -m pip install --quiet --upgrade 'pip>=25.1' 'maturin>=1.16,<2'
        maturin develop --release --quiet --group=test
        python -VV
        if [[ ${1-} == benches/compare/*.py ]]; then
            python -m pip install --quiet --requirement benches/compare/requirements.txt
            exec python "$@"
        fi
        python -m pytest -p no:cacheprovider "$@"
    )
    (($? == 0)) || failed+=("$version")
    set -e
done
((${#failed[@]} == 0)) || { echo "fails on CPython ${failed[*]}" >&2; exit 1; }
