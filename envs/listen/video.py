"""Writes a video through ffmpeg, frame by frame."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from phonotaxis.envs.listen import ListenError

FRAMES_PER_S = 25
_CODECS = {  # the best that this ffmpeg has; distributions leave some out
    "libx264": ("-preset", "veryfast", "-crf", "20"),
    "libopenh264": ("-b:v", "3M"),
    "mpeg4": ("-q:v", "4"),
}


def find_ffmpeg() -> str | None:
    """Return ffmpeg's path, or None where it isn't installed."""
    return shutil.which("ffmpeg")


def choose_codec(ffmpeg: str) -> str:
    """Return the best video codec that an ffmpeg can write: H.264 if it has an encoder for it, else MPEG-4.

    Raises:
        ListenError: it has none of them.
    """
    done = subprocess.run(
        [ffmpeg, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=30, check=False
    )
    words = set(done.stdout.split())
    for codec in _CODECS:
        if codec in words:
            return codec
    raise ListenError(f"{ffmpeg} can encode none of {', '.join(_CODECS)}; install a complete ffmpeg")


def write_video(path: Path, frames: Iterable[np.ndarray], wav: Path, ffmpeg: str) -> str:
    """Write frames and a WAV as an MP4.

    Args:
        path: of the file; replaced if it exists.
        frames: uint8 [height, width, 3] each, RGB, `FRAMES_PER_S` a second, of one size, even in both directions.
        wav: what is heard with it.
        ffmpeg: path of the program.

    Returns:
        The video codec.

    Raises:
        ListenError: ffmpeg failed, in its own words, or there are no frames.
    """
    codec = choose_codec(ffmpeg)
    with tempfile.TemporaryFile() as complaints:
        process: subprocess.Popen[bytes] | None = None
        try:
            for frame in frames:
                if process is None:
                    command = _command(ffmpeg, codec, frame.shape, wav, path)
                    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints)
                assert process.stdin is not None
                process.stdin.write(np.ascontiguousarray(frame).tobytes())
            if process is None:
                raise ListenError("a video needs at least one frame")
            assert process.stdin is not None
            process.stdin.close()
            failed = process.wait() != 0
        except BrokenPipeError:
            failed = True
        finally:
            if process is not None:
                _end(process)
        if failed:
            complaints.seek(0)
            words = " ".join(complaints.read().decode(errors="replace").split())
            raise ListenError(f"{path}: ffmpeg can't write the video ({words[-300:] or 'it said nothing'})")
    return codec


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that may have ended by itself."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if process.poll() is None:
        process.kill()
        process.wait()


def _command(ffmpeg: str, codec: str, shape: tuple[int, ...], wav: Path, path: Path) -> list[str]:
    """Return the command line; files are given as `file:`, so that no name is taken for an option or a protocol."""
    size = f"{shape[1]}x{shape[0]}"
    return [
        ffmpeg, "-hide_banner", "-loglevel", "error", "-y",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", str(FRAMES_PER_S), "-i", "pipe:0",
        "-i", f"file:{wav}", "-c:v", codec, *_CODECS[codec], "-pix_fmt", "yuv420p",
        "-c:a", "aac", "-b:a", "192k", "-movflags", "+faststart", "-f", "mp4", f"file:{path}",
    ]  # fmt: skip
