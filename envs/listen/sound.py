"""What is heard on a walk, by the engine that policies hear by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.array import MicrophoneArray
from phonotaxis.configs.contract import audio_from_int16
from phonotaxis.configs.task import AudioGoalTask, SceneSet
from phonotaxis.envs import sounds
from phonotaxis.envs.acoustics.field import scene_sound, source_field
from phonotaxis.envs.acoustics.renderer import new_field_list, new_scene_list
from phonotaxis.envs.episodes import Episode
from phonotaxis.envs.hearing import Hearing
from phonotaxis.envs.library import Library
from phonotaxis.envs.listen import ListenError, Progress, silent
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.sounds import Sound
from phonotaxis.envs.sounds.files import SUFFIXES

# A policy hears a step of a quarter of a second from where it ends. Ears that move want more poses: 20 ms are 1 cm at
# walking pace, so that the responses which are cross-faded differ by less than a wavelength up to 17 kHz.
HOP_S = 0.02
RESPONSE_S = 1.0  # what comes later is left out; halls ring longer than the half second that a task is given
PEAK_DBFS = -3.0
RATES_HZ = (48000, 16000)
_FADE_S = 0.01  # at both ends of the file
_FULL_BAND_HZ = 32000  # recordings of this rate or more are heard at 48 kHz


class Heard(NamedTuple):
    """What was heard on a walk.

    Attributes:
        audio: float32 [mics, samples], full scale ±1, as the converter delivers it.
        sample_rate_hz: of it.
        in_sight: bool [hops], the source was in line of sight.
    """

    audio: np.ndarray
    sample_rate_hz: int
    in_sight: np.ndarray


class Stereo(NamedTuple):
    """Two microphones of an array: indices, and how to call them."""

    left: int
    right: int
    words: str


class _Stage(Library):
    """A library of one scene, one source and one sound: slot 0 each, and nothing to look for.

    It holds what `Hearing` reads and leaves out the rest, a bank of sounds above all: 12 sounds at 48 kHz take longer
    to make than the walk takes to plan.
    """

    def __init__(self, task: AudioGoalTask, scene: Scene, sound: Sound, source_m: tuple[float, float, float]) -> None:
        self.task = task
        self.sounds = [sound]
        self.signals = np.array(sound.samples)
        self.signal_spans = np.array([[0, sound.samples.size]], dtype=np.int64)
        self.scenes = {0: scene}
        self.scene_sounds = new_scene_list(scene_sound(scene)[0])
        self.fields = new_field_list(source_field(scene, source_m, task.response_s))


def load_sound(name: str, seed: int = 0) -> Sound:
    """Load what is to be heard, at 48 kHz where it has that much, else at 16 kHz.

    Args:
        name: a kind of procedural sound, or the path of a recording.
        seed: of a procedural sound.

    Raises:
        SoundError: there is no such kind, or the file can't be used.
    """
    path = Path(name)
    if name not in sounds.GENERATORS and (path.suffix.lower() in SUFFIXES or path.exists()):
        return sounds.load_file(path, _rate_of(path))
    return sounds.make(name, seed, sample_rate_hz=RATES_HZ[0])


def _rate_of(path: Path) -> int:
    import soundfile

    try:
        return RATES_HZ[0] if soundfile.info(os.fsencode(path)).samplerate >= _FULL_BAND_HZ else RATES_HZ[1]
    except (OSError, TypeError, soundfile.LibsndfileError):
        return RATES_HZ[1]  # load_file says in words what is wrong with it


def hear_walk(
    scene: Scene,
    source_m: tuple[float, float, float],
    sound: Sound,
    poses: np.ndarray,
    array: str = "binaural",
    level_db_spl: float = 75.0,
    hop_s: float = HOP_S,
    progress: Progress = silent,
) -> Heard:
    """Listen on a walk: the streaming path of the worlds, a pose for each hop.

    Args:
        scene: where.
        source_m: world x, y, z of the source, metres.
        sound: what it plays, over and over; its sample rate is that of the result.
        poses: float64 [hops, 3], x, y, yaw at the end of each hop, world, metres and radians.
        array: preset or YAML file of the microphones.
        level_db_spl: of the sound at 1 m.
        hop_s: seconds a hop lasts; each is cross-faded over its whole length.
        progress: told of the hops.

    Raises:
        SceneError: the source is in matter or outside the scene.
        ConfigError: there is no such array.
    """
    rate_hz = sound.sample_rate_hz
    hop = round(hop_s * rate_hz)
    task = _task(scene, array, rate_hz, hop)
    stage = _Stage(task, scene, sound, source_m)
    hearing = Hearing(task.contract(), stage, worlds=1)
    world = np.zeros(1, dtype=np.int64)
    start = (float(poses[0, 0]), float(poses[0, 1]), float(poses[0, 2]))
    hearing.begin(0, Episode(seed=0, scene=0, field=0, sound=0, offset=0, level_db_spl=level_db_spl, pose=start))
    audio = np.zeros((hearing.codes.shape[1], len(poses) * hop), dtype=np.float32)
    in_sight = np.zeros(len(poses), dtype=np.bool_)
    for index, pose in enumerate(poses):
        progress(index / len(poses), f"{index * hop_s:.1f} s heard")
        hearing.listeners.pose[0] = pose
        hearing.hear(world)
        audio[:, index * hop : (index + 1) * hop] = audio_from_int16(hearing.codes[0])
        in_sight[index] = hearing.listeners.visible[0]
    return Heard(audio, rate_hz, in_sight)


def _task(scene: Scene, array: str, rate_hz: int, hop: int) -> AudioGoalTask:
    """Describe the hearing to the engine."""
    return AudioGoalTask(
        array=array,
        sample_rate_hz=rate_hz,
        hop_samples=hop,
        window_samples=max(hop, 512),
        step_m=hop / rate_hz,  # 1 m/s; nothing here moves by actions
        turn_deg=10.0 * hop / rate_hz,
        scenes=SceneSet(source=scene.name, count=1),
        sources_per_scene=1,
        response_s=RESPONSE_S,
        crossfade_s=hop / rate_hz * (1.0 - 1e-9),  # a rounding more would be longer than the hop
    )


def choose_ears(array: MicrophoneArray) -> Stereo:
    """Choose the microphones for the left and the right ear: those furthest out to either side.

    Raises:
        ListenError: no two microphones are side by side.
    """
    y_m = array.positions_m()[:, 1]
    left, right = int(np.argmax(y_m)), int(np.argmin(y_m))
    apart_m = float(y_m[left] - y_m[right])
    if apart_m < 1e-3:
        raise ListenError(
            f"array '{array.name}' has no two microphones side by side, so nothing to tell left from right by; "
            "choose another, e.g. --array binaural"
        )
    return Stereo(left, right, f"microphones {left} and {right} of {array.name}, {100 * apart_m:.1f} cm apart")


def write_wav(path: Path, heard: Heard, ears: Stereo) -> float:
    """Write what two microphones heard as a stereo WAV, its peak at -3 dBFS.

    Args:
        path: of the file.
        heard: on the walk.
        ears: which microphones.

    Returns:
        The gain that this took, dB.

    Raises:
        ListenError: nothing was heard at all.
        OSError: the file can't be written.
    """
    import soundfile

    stereo = heard.audio[[ears.left, ears.right]].T.astype(np.float64)
    fade = max(1, round(_FADE_S * heard.sample_rate_hz))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / fade)
    stereo[:fade] *= ramp[:, None]
    stereo[-fade:] *= ramp[::-1, None]
    peak = float(np.abs(stereo).max())
    if peak == 0.0:
        raise ListenError("not a single sample differs from zero: raise the level of the sound")
    gain_db = PEAK_DBFS - 20.0 * np.log10(peak)
    with path.open("wb") as file:
        soundfile.write(file, stereo * 10.0 ** (gain_db / 20.0), heard.sample_rate_hz, "PCM_16", format="WAV")
    return float(gain_db)
