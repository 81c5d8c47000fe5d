#!/usr/bin/env bash
# Lay an arm64 userland beside this machine's own, with the robot's packages in it, and print its folder.
# An x86-64 processor runs it through QEMU's user emulation: good for function, useless for speed.
#
# usage: bash tools/setup_arm64.sh          (root; Debian or Ubuntu; 7 minutes once, seconds afterwards)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=${PHONOTAXIS_ARM64:-${PHONOTAXIS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/phonotaxis}/arm64}
suite=bookworm       # its Python is 3.11, between JetPack 6 (3.10) and 7 (3.12)
python=3.11
handler=/proc/sys/fs/binfmt_misc/qemu-aarch64

fail() { printf 'arm64: %s\n' "$@" >&2; exit 1; }
# aarch64_wheels FOLDER REQUIREMENT...
aarch64_wheels() {
    local folder=$1
    shift
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: --target "$folder" \
        --python-version "$python" --implementation cp --platform manylinux_2_28_aarch64 \
        --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
        "$@" || fail "pip has no aarch64 wheels for these: $*"
}
say() { printf 'arm64: %s\n' "$*" >&2; }

[ "$(id -u)" -eq 0 ] || fail "a second userland needs root: sudo make test-arm64"
[ "$(uname -m)" = x86_64 ] || fail "made for x86-64 machines; on arm64 itself run make test"
command -v apt-get > /dev/null || fail "needs Debian or Ubuntu (apt-get, debootstrap)"

need=()
command -v debootstrap > /dev/null || need+=(debootstrap)
command -v qemu-aarch64-static > /dev/null || need+=(qemu-user-static)
if [ "${#need[@]}" -gt 0 ]; then
    say "installing ${need[*]}"
    apt-get update -qq > /dev/null || say "apt-get update failed; trying with the lists at hand"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" > /dev/null \
        || fail "apt-get could not install ${need[*]}"
fi

# The kernel hands foreign programs to QEMU. F opens the interpreter now, so that it is found inside the userland.
mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc \
    || fail "can't mount binfmt_misc: is this a container without the right to mount?"
if [ ! -e "$handler" ]; then
    magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
    mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    printf '%s' ":qemu-aarch64:M::$magic:$mask:$(command -v qemu-aarch64-static):F" > /proc/sys/fs/binfmt_misc/register \
        || fail "the kernel did not take QEMU as the interpreter of arm64 programs"
fi

if [ ! -e "$root/complete" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 debian/ | grep -v security) || mirror=
    [ -n "$mirror" ] || fail "no Debian mirror among apt's sources; name one: sources.list"
    say "unpacking Debian $suite for arm64 into $root (minutes)"
    rm -rf --one-file-system "$root"
    mkdir -p "$root"
    debootstrap --arch=arm64 --foreign --variant=minbase --include=python3-minimal,libpython3-stdlib,libstdc++6,libgomp1 \
        "$suite" "$root" "$mirror" > "$root.log" 2>&1 || fail "debootstrap failed, see $root.log"
    chroot "$root" /debootstrap/debootstrap --second-stage >> "$root.log" 2>&1 || fail "debootstrap failed, see $root.log"
    touch "$root/complete"
fi

# The packages that a robot gets, as wheels for its machine, and phonotaxis as the wheel that would be shipped.
identity=$(cat pyproject.toml tools/setup_arm64.sh | cksum)
if [ "$(cat "$root/packages" 2> /dev/null)" != "$identity" ]; then
    say "installing what phonotaxis[robot] needs, as aarch64 wheels"
    rm -rf "$root/opt/site"
    mapfile -t wanted < <(.venv/bin/python tools/requirements_of.py robot)
    aarch64_wheels "$root/opt/site" "${wanted[@]}"
    say "installing what its tests need"
    rm -rf "$root/opt/testing"
    mapfile -t wanted < <(.venv/bin/python tools/requirements_of.py dev | grep -E '^(pytest|pytest-timeout|hypothesis|onnx)[<>= ]')
    aarch64_wheels "$root/opt/testing" "${wanted[@]}"
    echo "$identity" > "$root/packages"
fi
say "laying phonotaxis itself"
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
.venv/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$wheels" . 2> "$wheels/log" \
    || { cat "$wheels/log" >&2; fail "the wheel of phonotaxis could not be built"; }
rm -rf "$root/opt/own" build
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target "$root/opt/own" "$wheels"/*.whl
echo "$root"
