#!/usr/bin/env bash
# Set up .venv with this checkout installed in it (editable), and do nothing when that is already so.
#
# usage: PYTHON=python3 PIP_FLAGS="..." bash tools/setup_venv.sh train|dev
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extra=${1:?expected train or dev}
python=${PYTHON:-python3}
stamp=.venv/phonotaxis-setup

fail() { printf 'set-up: %s\n' "$@" >&2; exit 1; }
say() { printf 'set-up: %s\n' "$*" >&2; }

command -v "$python" > /dev/null || fail "'$python' not found: install Python 3.10 or newer, or name one: make PYTHON=/path/to/python3"
version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])') \
    || fail "'$python' does not run: name another Python 3.10 or newer: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
    || fail "$python is Python $version, phonotaxis needs 3.10 or newer: make PYTHON=/path/to/python3.10"

# What the environment was made of. A checkout that was moved or copied, another interpreter or other requirements
# all change it, and then nothing stale is used.
identity="$PWD $version $(cksum < pyproject.toml)"

is_current() { [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$identity" ] && grep -qx "$1" "$stamp"; }
if is_current "$extra" || is_current dev; then exit 0; fi

# A .venv that works and was not made elsewhere is kept, also one that the user made.
is_usable() {
    [ "$(.venv/bin/python -c 'import sys; print(sys.prefix, "%d.%d.%d" % sys.version_info[:3])' 2> /dev/null)" \
        = "$PWD/.venv $version" ] || return 1
    [ ! -f "$stamp" ] || [[ "$(head -n 1 "$stamp")" == "$PWD $version "* ]]
}
if [ -d .venv ] && ! is_usable; then
    say "replacing .venv: it was made in another place or by another Python than $version"
    rm -rf .venv
fi

# Debian and Ubuntu ship python3 without ensurepip; python3-venv brings it.
if ! "$python" -c 'import ensurepip, venv' 2> /dev/null; then
    package="python${version%.*}-venv"
    command -v apt-get > /dev/null || fail "$python lacks the venv module; install your system's package for it"
    root=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then root=(sudo -n)
        else fail "$python lacks the venv module. Type this, then make again:" "  sudo apt-get install $package"; fi
    fi
    say "installing $package (the system's Python comes without venv)"
    "${root[@]}" apt-get update -qq > /dev/null || say "apt-get update failed; trying with the lists at hand"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" > /dev/null \
        || fail "apt-get could not install $package; install it by hand, then make again"
fi

started=$SECONDS
if [ ! -d .venv ]; then
    say "making .venv with Python $version"
    "$python" -m venv .venv
fi

# Without an NVIDIA GPU the CPU build of torch saves 3 GB: its index is used where it can be reached and the user
# names no other. A local build "2.13.0+cpu" ranks above "2.13.0", so that the same requirement picks it.
flags=()
read -r -a flags <<< "${PIP_FLAGS:-}" || true
cpu_index=https://download.pytorch.org/whl/cpu
if [ "${#flags[@]}" -eq 0 ] && ! command -v nvidia-smi > /dev/null && [ "$(uname -m)" = x86_64 ] \
    && .venv/bin/python -c "import urllib.request as u; u.urlopen('$cpu_index/torch/', timeout=5)" 2> /dev/null; then
    flags=(--extra-index-url "$cpu_index")
fi

# One line that says what is going on while pip works: silence for minutes looks like a hang.
progress() {
    local line last=""
    while IFS= read -r line; do
        case "$line" in
            *Downloading*|*Collecting*) last=${line#"${line%%[! ]*}"}; last=${last%% (*} ;;
            *"Installing collected packages"*) last="installing the packages (the longest part)" ;;
            *) continue ;;
        esac
        if [ -t 2 ]; then printf '\r\033[K%s' "set-up: $((SECONDS - started)) s  ${last:0:90}" >&2
        elif [[ "$last" == installing* ]]; then say "$last"; fi
    done
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

say "installing phonotaxis[$extra] and what it needs into .venv (a few minutes the first time)"
log=.venv/phonotaxis-setup.log
if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile \
    ${flags[@]+"${flags[@]}"} --editable ".[$extra]" 2>&1 | tee "$log" | progress; then
    grep -E '^(ERROR|error|WARNING: Retrying)' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
    fail "pip failed; the whole log is $log. Is the package index reachable? PIP_FLAGS takes other pip options"
fi

[ "$extra" = dev ] && extras=$'dev\ntrain' || extras=train
printf '%s\n%s\n' "$identity" "$extras" > "$stamp"
say "done in $((SECONDS - started)) s"
