"""The user's recordings: WAV, FLAC and OGG files of any sample rate and channel count."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import scipy.signal

from phonotaxis.envs.sounds.sound import FRAME_S, RECORDING, Sound, SoundError, activity, make_sound

SUFFIXES = (".wav", ".flac", ".ogg")
SHORTEST_S = 0.05  # a click shorter than this tells nothing, and leaves nothing for the seam
LONGEST_S = 60.0  # of a longer file the first 60 s are taken: a loop of 60 s repeats within few episodes
MOST_VALUES = 48_000_000  # samples times channels read from one file: 60 s at 48 kHz and 16 channels, 192 MB
MOST_SECONDS = 3600.0  # of all files of a folder together, 230 MB at 16 kHz
SILENT_DBFS = -80.0
LEAD_S = 0.1  # silence left before and after the sound
SAMPLE_RATES_HZ = (1000, 768_000)


def load_folder(path: str | Path, sample_rate_hz: int = 16000) -> list[Sound]:
    """Load every WAV, FLAC and OGG file of a folder, in order of name (subfolders and hidden files aside).

    Args:
        path: of the folder.
        sample_rate_hz: what the sounds are resampled to.

    Returns:
        Sounds named after their files.

    Raises:
        SoundError: no such folder, no such files in it, over an hour of sound in all, or files that can't be
            used: one error names every one of them with its fault.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file, expected a folder" if folder.exists() else "no such folder"
        raise SoundError(f"{folder}: {what}; give a folder of WAV, FLAC or OGG files")
    files = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    audio = [f for f in files if f.suffix.lower() in SUFFIXES]
    if not audio:
        others = f"; it holds files such as {printable(files[0].name)}" if files else ""
        raise SoundError(f"{folder}: no WAV, FLAC or OGG files in it (subfolders are not searched){others}")
    sounds, faults = _load_all(audio, sample_rate_hz)
    if faults:
        count = f"{len(faults)} of {len(audio)} files can't be used; mend or remove them:"
        raise SoundError("\n  ".join([f"{folder}: {count}", *faults]))
    return sounds


def _load_all(files: list[Path], sample_rate_hz: int) -> tuple[list[Sound], list[str]]:
    sounds: list[Sound] = []
    faults: list[str] = []
    seconds = 0.0
    for file in files:
        try:
            sound = load_file(file, sample_rate_hz)
        except SoundError as error:
            faults.append(str(error).replace(f"{printable(str(file))}: ", f"{printable(file.name)}: ", 1))
            continue
        seconds += sound.duration_s
        if seconds > MOST_SECONDS:
            raise SoundError(f"{file.parent}: over {MOST_SECONDS / 3600:.0f} h of sound; use a folder with less")
        sounds.append(sound)
    return sounds, faults


def load_file(path: str | Path, sample_rate_hz: int = 16000) -> Sound:
    """Load one recording: mixed down to mono, resampled, trimmed of silence at its ends, looped, normalised.

    Of a file longer than 60 s the first 60 s are taken (less where that is over 48 million values, which
    takes more than 16 channels at 48 kHz). Channels are averaged, or where they cancel the loudest is taken.

    Args:
        path: of a file that libsndfile reads: WAV, FLAC, OGG and others, whatever its name.
        sample_rate_hz: what the sound is resampled to.

    Raises:
        SoundError: no such file, empty, not audio, of zero length, shorter than 50 ms, silent (also where
            `sample_rate_hz` leaves nothing of it), with samples that are not finite, or with a sample rate no
            microphone has.
    """
    file = Path(path)
    where = printable(str(file))
    if not file.is_file():
        raise SoundError(f"{where}: no such file")
    if file.stat().st_size == 0:
        raise SoundError(f"{where}: the file is empty (0 bytes)")
    samples, rate_hz = _read(file, where)
    mono = _audible(_mix_down(_checked(samples, rate_hz, where)), where)
    mono = _audible(_resample(mono, rate_hz, sample_rate_hz), where, f" below {sample_rate_hz / 2:g} Hz")
    mono = _trim(mono, sample_rate_hz)
    return make_sound(printable(file.name), RECORDING, mono, sample_rate_hz)


def printable(name: str) -> str:
    """Return a file's name with whatever a terminal or a page might obey replaced by `?`."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _read(file: Path, where: str) -> tuple[np.ndarray, int]:
    """Read float64 [frames, channels] and the sample rate."""
    import soundfile

    try:
        with soundfile.SoundFile(os.fsencode(file)) as reader:  # a name may be of any bytes
            rate_hz = int(reader.samplerate)
            if not SAMPLE_RATES_HZ[0] <= rate_hz <= SAMPLE_RATES_HZ[1]:
                low, high = SAMPLE_RATES_HZ
                raise SoundError(f"{where}: its header gives {rate_hz} samples a second, expected {low} to {high}")
            frames = min(reader.frames, round(LONGEST_S * rate_hz), MOST_VALUES // reader.channels)
            return reader.read(frames, dtype="float32", always_2d=True), rate_hz
    except soundfile.LibsndfileError as error:
        reason = str(error.error_string).strip().rstrip(".")
        raise SoundError(f"{where}: not audio that can be read ({reason}); expected WAV, FLAC or OGG") from None
    except TypeError:  # by its name without a header: *.raw
        raise SoundError(f"{where}: raw samples without rate and form; expected WAV, FLAC or OGG") from None
    except OSError as error:
        raise SoundError(f"{where}: can't be read ({error.strerror or error})") from None


def _checked(samples: np.ndarray, rate_hz: int, where: str) -> np.ndarray:
    if samples.shape[0] == 0:
        raise SoundError(f"{where}: of zero length: a header without samples")
    if not np.isfinite(samples).all():
        bad = int(np.count_nonzero(~np.isfinite(samples)))
        raise SoundError(f"{where}: {bad} samples are NaN or infinite; export it again from its source")
    duration_s = samples.shape[0] / rate_hz
    if duration_s < SHORTEST_S:
        raise SoundError(f"{where}: too short: {duration_s * 1e3:.1f} ms, expected at least {SHORTEST_S * 1e3:.0f} ms")
    return samples


def _audible(wave: np.ndarray, where: str, band: str = "") -> np.ndarray:
    """Return a waveform that isn't silent as it is."""
    if 20.0 * np.log10(max(float(np.abs(wave).max()), 1e-30)) < SILENT_DBFS:
        raise SoundError(f"{where}: silent{band} (no sample above {SILENT_DBFS:.0f} dB of full scale)")
    return wave


def _mix_down(samples: np.ndarray) -> np.ndarray:
    """Average the channels without their offsets; float64 [frames]. Where they cancel, take the loudest."""
    centred = samples.astype(np.float64)
    centred -= centred.mean(axis=0)
    mean = centred.mean(axis=1)
    power = np.square(centred).mean(axis=0)
    if np.square(mean).mean() < 0.01 * power.max() / samples.shape[1]:
        return centred[:, int(np.argmax(power))]
    return mean


def _resample(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Resample by a polyphase filter; rates beyond 1:1000 parts are rounded, 10^-6 of the pitch."""
    ratio = Fraction(to_hz, from_hz).limit_denominator(1000)
    if ratio == 1:
        return wave
    return scipy.signal.resample_poly(wave, ratio.numerator, ratio.denominator)


def _trim(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Cut silence at both ends down to 0.1 s, so that the loop has no long pause there."""
    active = np.flatnonzero(activity(wave, rate_hz, hangover_s=0.0)) * round(FRAME_S * rate_hz)
    lead = round(LEAD_S * rate_hz)
    trimmed = wave[max(0, active[0] - lead) : active[-1] + round(FRAME_S * rate_hz) + lead]
    return trimmed
