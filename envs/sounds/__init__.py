"""What there is to hear: procedural sounds and the user's recordings."""

from __future__ import annotations

from phonotaxis.envs.sounds.bank import (
    GENERATORS,
    HELD_OUT_KINDS,
    INVENTED_KINDS,
    KINDS_OF,
    TRAINING_KINDS,
    VALIDATION_KINDS,
    load_bank,
    make,
)
from phonotaxis.envs.sounds.files import load_file, load_folder
from phonotaxis.envs.sounds.sound import Sound, SoundError

__all__ = [
    "GENERATORS",
    "HELD_OUT_KINDS",
    "INVENTED_KINDS",
    "KINDS_OF",
    "TRAINING_KINDS",
    "VALIDATION_KINDS",
    "Sound",
    "SoundError",
    "load_bank",
    "load_file",
    "load_folder",
    "make",
]
