#!/usr/bin/env bash
# Install what the robot's devices, and the tests of them, need from the operating system: PulseAudio and JACK, which
# stand in for microphone arrays, PortAudio, and GStreamer with its introspection data. Does nothing when all of it is there.
set -euo pipefail

packages=(
    pulseaudio pulseaudio-utils libasound2-plugins  # a sound server with virtual sources, and ALSA's way to it
    jackd2                                          # an ALSA device with one sample rate alone
    portaudio19-dev gcc python3-dev                 # PyAudio is built from source against PortAudio
    gstreamer1.0-plugins-base gstreamer1.0-tools gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0
    libgirepository1.0-dev libcairo2-dev pkg-config # so is PyGObject, against these
)

fail() { printf 'set-up: %s\n' "$@" >&2; exit 1; }

if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    # another distribution: what is built from source decides, and its error would be long
    for tool in pulseaudio jackd gst-inspect-1.0 pkg-config; do
        command -v "$tool" > /dev/null || fail "'$tool' not found, and this system has no apt-get to get it with." \
            "Install PulseAudio, JACK, PortAudio, GStreamer and GObject introspection with their headers; in Debian's names:" \
            "  ${packages[*]}"
    done
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}\n' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

root=()
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo > /dev/null && sudo -n true 2> /dev/null; then root=(sudo -n)
    else fail "the tests of microphones and cameras need packages of the system. Type this, then make again:" \
        "  sudo apt-get install --no-install-recommends ${missing[*]}"; fi
fi
printf 'set-up: installing from the system: %s\n' "${missing[*]}" >&2
${root[@]+"${root[@]}"} apt-get update -qq > /dev/null || printf 'set-up: apt-get update failed; trying with the lists at hand\n' >&2
${root[@]+"${root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null \
    || fail "apt-get could not install ${missing[*]}; install them by hand, then make again"
