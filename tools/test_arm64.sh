#!/usr/bin/env bash
# The robot's part on aarch64, by the robot's packages in an emulated arm64 userland: episodes recorded on this x86-64
# machine and the golden ones of the tests are replayed, and the runtime's tests that ask nothing of speed are run.
#
# usage: bash tools/test_arm64.sh [options of tools/golden_episodes.py]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Of the tests of deploy/: the rest needs the simulator, sound and video servers, or a robot driven in real time.
tests=(
    test_emergency_stop test_episode test_golden test_observation test_recover test_replay test_replay_other
    test_replay_rules test_retention test_safety
)

root=$(bash tools/setup_arm64.sh)
printf 'arm64: recording episodes on %s\n' "$(uname -m)" >&2
rm -rf "$root/opt/golden" "$root/opt/recorded"
.venv/bin/python tools/golden_episodes.py "$root/opt/recorded" "$@"
cp -r tests/golden "$root/opt/golden"
cp tools/check_golden.py "$root/opt/check_golden.py"
cp -r tests pyproject.toml "$root/opt/own/" # beside the package: the tests refuse another copy than the one they stand by
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
trap 'umount "$root/proc" || true' EXIT

on_arm64() { # COMMAND...; the first word is a program of the userland
    chroot "$root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/tmp PYTHONPATH=/opt/own:/opt/site:/opt/testing \
        OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 "$@"
}
printf 'arm64: replaying them on aarch64, 200 times slower than a real one\n' >&2
on_arm64 /usr/bin/python3 /opt/check_golden.py /opt/recorded /opt/golden
files=()
for name in "${tests[@]}"; do files+=("/opt/own/tests/deploy/$name.py"); done
printf 'arm64: running tests of the runtime\n' >&2
on_arm64 /usr/bin/python3 -m pytest -p no:cacheprovider --timeout 900 --rootdir /opt/own -c /opt/own/pyproject.toml \
    "${files[@]}"
