"""A PulseAudio of our own with a virtual microphone array in it, which any program records from by its name.

The array is a pipe: what is written into it is delivered, sample by sample and unchanged, and nothing else is.
PulseAudio aborts on a pipe source of six channels, so the pipe has eight and the array is the first of them;
its channels carry places of loudspeakers, since with `aux` names PulseAudio delivers silence.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

PIPE_CHANNELS = 8
_PLACES = ("front-left", "front-right", "rear-left", "rear-right", "front-center", "lfe", "side-left", "side-right")
_READY_S = 10.0


class PulseError(RuntimeError):
    """PulseAudio isn't there, or doesn't do as it is told."""


class Pulse:
    """The sound server. Its folder must be short, since a socket's path is, and this user's alone.

    Attributes:
        pipe: where samples are written, int16 of eight channels.
    """

    def __init__(self, folder: Path, name: str, channels: int, sample_rate_hz: int) -> None:
        """Start the server.

        Args:
            folder: for its socket, pipe and configuration.
            name: of the array, as ALSA and so PortAudio list it.
            channels: of the array, at most 8.
            sample_rate_hz: of the array.

        Raises:
            PulseError: no PulseAudio here, or it doesn't start.
        """
        if not 1 <= channels <= PIPE_CHANNELS:
            raise PulseError(f"an array of {channels} channels; a virtual one has at most {PIPE_CHANNELS}")
        if shutil.which("pulseaudio") is None or shutil.which("pactl") is None:
            raise PulseError("no PulseAudio: apt-get install pulseaudio pulseaudio-utils libasound2-plugins")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._channels, self._rate_hz = folder, channels, sample_rate_hz
        self.pipe = folder / "array.pipe"
        self._write_configuration(name)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _write_configuration(self, name: str) -> None:
        listed = ",".join(_PLACES)
        array = ",".join(_PLACES[: self._channels])
        (self._folder / "default.pa").write_text(
            f"load-module module-native-protocol-unix socket={self._folder}/native auth-anonymous=1\n"
            f"load-module module-pipe-source source_name=pipe file={self.pipe} format=s16le rate={self._rate_hz} "
            f"channels={PIPE_CHANNELS} channel_map={listed}\n"
            f"load-module module-remap-source source_name=array master=pipe channels={self._channels} "
            f"channel_map={array} master_channel_map={array} remix=no\n"
        )
        (self._folder / "client.conf").write_text("autospawn = no\nenable-shm = no\n")
        # an ALSA configuration without pcm.default aborts PortAudio, so the system's own comes first
        (self._folder / "asound.conf").write_text(
            f'</usr/share/alsa/alsa.conf>\npcm."{name}" {{ type pulse device "array" }}\n'
        )

    def environment(self) -> dict[str, str]:
        """Return the variables with which a process finds this server's array among its sound cards."""
        return {
            "PULSE_SERVER": f"unix:{self._folder}/native",
            "PULSE_CLIENTCONFIG": str(self._folder / "client.conf"),
            "ALSA_CONFIG_PATH": str(self._folder / "asound.conf"),
        }

    def start(self) -> None:
        """Start the server, anew after `kill`.

        Raises:
            PulseError: it doesn't.
        """
        self.pipe.unlink(missing_ok=True)  # a pipe that was left there blocks its module
        own = {"XDG_RUNTIME_DIR": str(self._folder), "HOME": str(self._folder), "PULSE_COOKIE": "cookie"}
        options = ("--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--log-level=error")
        with (self._folder / "pulse.log").open("wb") as log_file:
            self._process = subprocess.Popen(
                ["pulseaudio", "-n", "-F", str(self._folder / "default.pa"), *options],
                env={**os.environ, **own},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log_file,
            )
        deadline_s = time.monotonic() + _READY_S
        while time.monotonic() < deadline_s:
            if self._process.poll() is not None:
                break
            if "array" in self.control("list", "short", "sources"):
                return
            time.sleep(0.05)
        log = (self._folder / "pulse.log").read_text(errors="replace").strip()
        self.kill()
        raise PulseError(f"PulseAudio does not start: {log[-300:] or 'it says nothing'}")

    def control(self, *words: str) -> str:
        """Run pactl; returns what it says, nothing where the server doesn't answer."""
        done = subprocess.run(
            ["pactl", *words], env={**os.environ, **self.environment()}, capture_output=True, text=True, check=False
        )
        return done.stdout

    def recording(self) -> bool:
        """Whether a program records from the array, or is about to."""
        listed = self.control("list", "short", "source-outputs").splitlines()
        return len(listed) > 1  # the array's own on the pipe is the first

    def unload_array(self) -> None:
        """Take the array away while the server lives on, as when a USB cable is pulled."""
        self.control("unload-module", "module-remap-source")

    def load_array(self) -> None:
        """Bring the array back."""
        array = ",".join(_PLACES[: self._channels])
        self.control(
            *("load-module", "module-remap-source", "source_name=array", "master=pipe", "remix=no"),
            *(f"channels={self._channels}", f"channel_map={array}", f"master_channel_map={array}"),
        )

    def kill(self) -> None:
        """Kill the server without a word."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the server; may be called more than once."""
        self.kill()
