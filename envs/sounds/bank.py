"""The bank of procedural sounds, and its splits: what is trained with, what chooses a policy, what tests it."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from phonotaxis.configs.base import did_you_mean
from phonotaxis.envs.sounds import invented, machines, matter, validation, voices
from phonotaxis.envs.sounds.sound import SEAM_S, Sound, SoundError, make_sound

Generator = Callable[[np.random.Generator, int, int], np.ndarray]

GENERATORS: dict[str, Generator] = {
    "telephone": machines.telephone,
    "alarm_beeps": machines.alarm_beeps,
    "kettle": machines.kettle,
    "vacuum": machines.vacuum,
    "engine": machines.engine,
    "clock": machines.clock,
    "speech": voices.speech,
    "dripping": matter.dripping,
    "knocking": matter.knocking,
    "applause": matter.applause,
    "water": matter.water,
    "music": matter.music,
    "siren": machines.siren,
    "typing": machines.typing,
    "crying": voices.crying,
    "barking": voices.barking,
    "birdsong": voices.birdsong,
    "sizzling": matter.sizzling,
    "doorbell": validation.doorbell,
    "footsteps": validation.footsteps,
    "hair_dryer": validation.hair_dryer,
    "invented_hums": invented.hums,
    "invented_hisses": invented.hisses,
    "invented_calls": invented.calls,
    "invented_blows": invented.blows,
    "invented_puffs": invented.puffs,
    "invented_rattles": invented.rattles,
}
HELD_OUT_KINDS = ("siren", "typing", "crying", "barking", "birdsong", "sizzling")
VALIDATION_KINDS = ("doorbell", "footsteps", "hair_dryer")
INVENTED_KINDS = tuple(kind for kind in GENERATORS if kind.startswith("invented_"))  # for trainings that name them
TRAINING_KINDS = tuple(
    kind for kind in GENERATORS if kind not in HELD_OUT_KINDS + VALIDATION_KINDS + INVENTED_KINDS
)  # fmt: skip
SPLITS = ("train", "test", "validation")  # their order keys the random streams: new ones are appended
KINDS_OF = {"train": TRAINING_KINDS, "validation": VALIDATION_KINDS, "test": HELD_OUT_KINDS}
SHORTEST_S, LONGEST_S = 2.5, 5.5


def make(kind: str, seed: int, instance: int = 0, split: str = "train", sample_rate_hz: int = 16000) -> Sound:
    """Make one procedural sound.

    The random stream is keyed by (seed, split, kind's name, instance), so that a sound doesn't change when
    others are added, and the splits share none.

    Args:
        kind: a key of `GENERATORS`.
        seed: of the bank, not negative.
        instance: number of the sound within its kind, not negative.
        split: `train`, `validation` or `test`.
        sample_rate_hz: 8000 to 96000.

    Raises:
        SoundError: unknown kind or split, or a sample rate out of range.
    """
    if kind not in GENERATORS:
        raise SoundError(
            f"unknown kind of sound '{kind}'{did_you_mean(kind, GENERATORS)} (known: {', '.join(GENERATORS)})"
        )
    if split not in SPLITS:
        raise SoundError(f"unknown split '{split}' (known: {', '.join(SPLITS)})")
    if not 8000 <= sample_rate_hz <= 96000:
        raise SoundError(f"sample_rate_hz must lie in 8000..96000, got {sample_rate_hz}")
    key = [seed, SPLITS.index(split), zlib.crc32(kind.encode()), instance]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))
    n = round((rng.uniform(SHORTEST_S, LONGEST_S) + SEAM_S) * sample_rate_hz)
    wave = GENERATORS[kind](rng, n, sample_rate_hz)
    return make_sound(f"{kind}:{split}:{instance}", kind, wave, sample_rate_hz)


def load_bank(
    seed: int = 0,
    instances_per_kind: int = 4,
    sample_rate_hz: int = 16000,
    kinds: Sequence[str] = tuple(GENERATORS),
    split: str = "train",
) -> list[Sound]:
    """Make a bank: every kind's instances, kinds in the given order. The same arguments give the same bits.

    Raises:
        SoundError: unknown kind or split, a sample rate out of range, or a bank without sounds.
    """
    if instances_per_kind < 1 or not kinds:
        raise SoundError(f"a bank needs sounds: got {instances_per_kind} instances of {len(kinds)} kinds")
    return [
        make(kind, seed, instance, split, sample_rate_hz) for kind in kinds for instance in range(instances_per_kind)
    ]
