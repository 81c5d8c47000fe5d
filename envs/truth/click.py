"""Whether a policy could hear the simulator's steps: energy above 3 kHz at their boundaries over mid-step."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

from phonotaxis.configs.contract import AUDIO, MOTION
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.envs.truth import Progress, Row
from phonotaxis.envs.world import World

RATE_HZ = 16000
WORLDS, STEPS = 4, 60
EPISODE_SEED = 100
PITCH_HZ = 200.0  # a frame is one period, so that every frame holds as much of a steady tone
ABOVE_HZ = 3000.0
LEVEL_DB_SPL = 100.0
_AWAY_STEPS = 8  # turned on the spot after a wall was touched: 80 degrees
_FRAME_S = 0.005
_BOUNDARY_S = (-0.005, 0.06)  # a frame before it, and the 50 ms of the cross-fade
_MIDDLE_S = (0.1, 0.2)  # of a step of 0.25 s


def run(progress: Progress) -> list[Row]:
    """Walk and turn through apartments while a voice hums."""
    audio = walk_and_hum(bench_task(), progress)
    click = click_db(audio, RATE_HZ, RATE_HZ // 4)
    note = f"{WORLDS} worlds x {STEPS} steps at 1 m/s and 40 deg/s, {PITCH_HZ:.0f} Hz tone falling by 12 dB an octave"
    return [Row("boundary_click_db", click, "dB", 2.0, None, note)]


def bench_task(crossfade_s: float = 0.05) -> AudioGoalTask:
    """Return the task that is walked in; its sounds are put in their place by `walk_and_hum`."""
    return AudioGoalTask(
        scenes=SceneSet(source="apartment", first_seed=900, count=WORLDS),
        sources_per_scene=1,
        out_of_sight_share=0.5,
        max_steps=STEPS + 2,
        crossfade_s=crossfade_s,
    )


def voiced_tone(length_s: float = 2.0) -> np.ndarray:
    """Make a loop of a voiced tone: all harmonics to 7 kHz, falling by 12 dB an octave, float64 [samples]."""
    seconds = np.arange(round(length_s * RATE_HZ)) / RATE_HZ
    numbers = np.arange(1, int(7000.0 / PITCH_HZ) + 1)
    phases = np.random.Generator(np.random.PCG64(7)).uniform(0.0, 2.0 * np.pi, numbers.size)
    wave = np.zeros(seconds.size)
    for number, phase in zip(numbers, phases):
        wave += np.sin(2.0 * np.pi * number * PITCH_HZ * seconds + phase) / number**2
    return np.asarray(0.5 * wave / np.abs(wave).max())


def walk_and_hum(task: AudioGoalTask, progress: Progress) -> np.ndarray:
    """Step worlds along curves and return all they heard.

    Args:
        task: whose sounds are replaced by a voiced tone, loud enough that self-noise plays no part.
        progress: told of the steps.

    Returns:
        float64 [worlds, mics, steps * hop], full scale; the first window, at rest, is left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(Path(folder) / "hum.wav", voiced_tone(), RATE_HZ, subtype="FLOAT")
        sounds = SoundSet(folder=folder, mean_level_db_spl=LEVEL_DB_SPL, level_range_db=0.0)
        world = World(task.model_copy(update={"sounds": sounds}), num_worlds=WORLDS)
        world.begin(np.arange(WORLDS), EPISODE_SEED + np.arange(WORLDS))
    heard, turning = [], np.zeros(WORLDS, dtype=np.int64)
    for step in range(STEPS):
        progress(step / STEPS, "boundaries")
        turning = np.where(world.observation[MOTION][:, 5] > 0.0, _AWAY_STEPS, np.maximum(turning - 1, 0))
        bend = 0.3 if (step // 8) % 2 else -0.3
        speed = np.where(turning > 0, 0.0, 1.0)
        world.step_setpoints(speed, np.where(turning > 0, 0.69, bend), np.zeros(WORLDS, dtype=np.bool_))
        heard.append(world.observation[AUDIO].astype(np.float64))
    return np.concatenate(heard, axis=2)


def click_db(audio: np.ndarray, sample_rate_hz: int, hop: int) -> float:
    """Return by how much the loudest frame about the boundaries exceeds mid-step, above 3 kHz, dB.

    Every step is judged against its own middle, over all microphones, in frames of 5 ms; then the ratios are averaged
    over worlds and steps, so that one step in a hundred that clicks by 20 dB counts for 3 dB. The boundary reaches
    from 5 ms before it to 60 ms after, so that a cross-fade is heard out.

    Args:
        audio: float [worlds, mics, steps * hop].
        sample_rate_hz: of the audio.
        hop: samples a step.
    """
    high = scipy.signal.butter(6, ABOVE_HZ, "highpass", fs=sample_rate_hz, output="sos")
    energy = np.square(scipy.signal.sosfiltfilt(high, audio, axis=2)).mean(axis=1)
    frame = round(_FRAME_S * sample_rate_hz)
    before = round(-_BOUNDARY_S[0] * sample_rate_hz)
    steps = energy[:, hop - before : -hop - before]  # the filter rings at both ends
    place = steps.reshape(len(energy), -1, hop // frame, frame).mean(axis=3)  # [worlds, steps, frames]
    begin, end = (round((seconds - _BOUNDARY_S[0]) / _FRAME_S) for seconds in _MIDDLE_S)
    ratio = (place / place[:, :, begin:end].mean(axis=2, keepdims=True)).mean(axis=(0, 1))
    return float(10.0 * np.log10(ratio[: round((_BOUNDARY_S[1] - _BOUNDARY_S[0]) / _FRAME_S)].max()))
