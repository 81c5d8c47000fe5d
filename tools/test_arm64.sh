#!/usr/bin/env bash
# Episodes recorded on this x86-64 machine, replayed by the robot's packages in an emulated arm64 userland.
#
# usage: bash tools/test_arm64.sh [options of tools/golden_episodes.py]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

root=$(bash tools/setup_arm64.sh)
printf 'arm64: recording episodes on %s\n' "$(uname -m)" >&2
rm -rf "$root/opt/golden"
.venv/bin/python tools/golden_episodes.py "$root/opt/golden" "$@"
cp tools/check_golden.py "$root/opt/check_golden.py"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc" || true' EXIT
printf 'arm64: replaying them on aarch64, 200 times slower than a real one\n' >&2
chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp PYTHONPATH=/opt/own:/opt/site \
    OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 /opt/check_golden.py /opt/golden
