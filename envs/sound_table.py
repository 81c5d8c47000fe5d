"""The sounds of a task, as kernels take them; those of a bank are made once for all tasks of a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.envs import sounds


class SoundTable(NamedTuple):
    """A task's sounds, and as kernels take them.

    Attributes:
        sounds: in the order of their numbers.
        signals: float32 [samples], their waveforms one after the other; shared, so not to be written to.
        spans: int64 [sounds, 2], where each begins there, and how many samples it has.
    """

    sounds: list[sounds.Sound]
    signals: np.ndarray
    spans: np.ndarray


def sound_table(task: AudioGoalTask) -> SoundTable:
    """Load a task's sounds at its sample rate; the tasks of one process share those of a bank."""
    chosen = task.sounds
    if chosen.folder is not None:
        return _table(sounds.load_folder(Path(chosen.folder), task.sample_rate_hz))
    kinds = chosen.kinds or sounds.KINDS_OF[chosen.split]
    return _bank_table(chosen.seed, chosen.instances_per_kind, task.sample_rate_hz, kinds, chosen.split)


@lru_cache(maxsize=4)  # the lanes of a training take turns among two or three
def _bank_table(seed: int, instances: int, sample_rate_hz: int, kinds: tuple[str, ...], split: str) -> SoundTable:
    return _table(sounds.load_bank(seed, instances, sample_rate_hz, kinds, split))


def _table(found: list[sounds.Sound]) -> SoundTable:
    lengths = np.array([sound.samples.size for sound in found], dtype=np.int64)
    signals = np.concatenate([sound.samples for sound in found]).astype(np.float32)
    return SoundTable(found, signals, np.stack([lengths.cumsum() - lengths, lengths], axis=1))
